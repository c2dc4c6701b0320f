"""Routes of the API that make no calls, one module a subject: each has `add(app, …)`, which registers its routes."""
