"""What Hypercorn serves: the relay routes as a plain ASGI callable, and the Quart app around it."""
