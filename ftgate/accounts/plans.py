"""The numbers of plans: given at first sight and kept, so that a key's plan can be named by one."""

import sqlite3
from collections.abc import Callable, Mapping
from decimal import Decimal

from ftgate.core.pricing import Multiplier
from ftgate.errors import Forbidden, InvalidRequest
from ftgate.ports import PlanOffer
from ftgate.store.writer import Writer


class Plans:
    """`offers` are those of the config in force, by name."""

    def __init__(self, writer: Writer, offers: Callable[[], Mapping[str, PlanOffer]]) -> None:
        self.writer = writer
        self.offers = offers
        self.ids: dict[str, int] = {}

    def load(self, connection: sqlite3.Connection) -> None:
        """Read the numbers that were given."""
        self.ids.update(connection.execute("SELECT name, id FROM plan_ids"))

    def adopt(self) -> None:
        """Give numbers to the plans that have none yet."""
        for name in self.offers():
            if name not in self.ids:
                self.ids[name] = number = max(self.ids.values(), default=0) + 1
                self.writer.changed().statements.append(
                    ("INSERT INTO plan_ids (id, name) VALUES (?, ?)", (number, name))
                )

    def id_of(self, name: str) -> int:
        """A plan's number; that of default where it is no longer in the config."""
        return self.ids.get(name if name in self.offers() else "default", 1)

    def chosen(self, number: int | None, own: str, param: str = "planId") -> str:
        """The plan that a key is given by its number; "" where it follows its account's, which is `own`. Raises
        InvalidRequest for one that is not there, Forbidden for one that may not be chosen."""
        if number is None:
            return ""
        offers = self.offers()
        name = next((name for name, id in self.ids.items() if id == number and name in offers), None)
        if name is None:
            raise InvalidRequest(f"there is no plan {number}; GET /v1/plans lists them", param=param)
        if name != own and not offers[name].selectable:
            raise Forbidden(f"the plan {name!r} is not for keys of this account", code="plan_not_allowed", param=param)
        return name

    def shown(self) -> list[dict[str, object]]:
        """As GET /v1/plans has them."""
        return [
            {
                "id": self.ids[name], "name": name, "selectable": offer.selectable, "models": list(offer.models),
                "requests_per_second": offer.requests_per_second, "price_multiplier": _decimal(offer.multiplier),
            }
            for name, offer in sorted(self.offers().items(), key=lambda one: self.ids[one[0]])
        ]  # fmt: skip


def _decimal(factor: Multiplier) -> str:
    """Exact where it has an end: "1.5"; else the fraction."""
    said = Decimal(factor.numerator) / factor.denominator
    exact = said * factor.denominator == factor.numerator
    return format(said.normalize(), "f") if exact else f"{factor.numerator}/{factor.denominator}"
