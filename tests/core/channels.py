"""Models and channels as a table writes them."""

from ftgate.core.pricing import Price
from ftgate.core.routing import Address, Channel, Model
from ftgate.core.secret import Secret


def model(name="m", price=1, context=None, **more):
    return Model(
        name=name, upstream=f"up-{name}", price=Price(price, price, price, price, price), context=context, **more
    )


CHAT = Address("chat", "http://h/chat", "bearer", ("max_tokens", "max_completion_tokens"))
EMBED = Address("embed", "http://h/embed", "bearer")


def channel(name, *models, keys=("k",), priority=0, weight=1, addresses=(CHAT,)):
    return Channel(
        name=name, provider="p", addresses={a.dialect: a for a in addresses}, credentials=tuple(map(Secret, keys)),
        models={m.name: m for m in models or (model(),)}, priority=priority, weight=weight,
    )  # fmt: skip
