"""The numbers of plans: given at first sight and kept, so that a key's plan can be named by one."""

import logging
from collections.abc import Collection
from decimal import Decimal

from ftgate.accounts.acting import audited
from ftgate.accounts.directory import Directory, StoredKey
from ftgate.core.pricing import Multiplier
from ftgate.errors import Forbidden, InvalidRequest
from ftgate.ports.site import Doer
from ftgate.store.batch import Batch
from ftgate.store.changes import Changes
from ftgate.store.source import Connection

log = logging.getLogger("ftgate.plans")

MEND = (
    "Bring the plan back under its name, or move whoever is on it first: accounts by PATCH /v1/admin/users/{id}; keys "
    "that chose it follow their accounts again once it is no longer `selectable`."
)


PLAN_IDS = "SELECT name, id FROM plan_ids"


class Plans:
    """Those of the config in force, and who is on them."""

    def __init__(self, directory: Directory, writer: Changes) -> None:
        self.directory = directory
        self.writer = writer
        self.offers = directory.offers
        self.ids: dict[str, int] = {}

    def load(self, connection: Connection) -> None:
        """Read the numbers that were given, also once more."""
        self.ids.clear()
        self.ids.update(connection.execute(PLAN_IDS))

    def adopt(self) -> None:
        """Give numbers to the plans that have none yet, those among them that the config has no more and somebody is
        on."""
        if not self.ids.keys() >= {*self.offers(), *self.directory.in_use()}:
            self.writer.later(self._number)

    def _number(self) -> None:
        for name in (*self.offers(), *self.directory.in_use()):
            if name not in self.ids:
                self.ids[name] = number = max(self.ids.values(), default=0) + 1
                self.writer.changed().statements.append(
                    ("INSERT INTO plan_ids (id, name) VALUES (?, ?)", (number, name))
                )

    def id_of(self, name: str) -> int:
        """A plan's number, also where it is no longer in the config."""
        return self.ids.get(name, 1)

    def lost(self, names: Collection[str]) -> str | None:
        """Why the plans that are there must not be changed for those of these names: somebody is on one that would be
        gone. None where nobody is."""
        used = self.directory.in_use()
        gone = [told(plan, *used[plan]) for plan in self.offers() if plan not in names and plan in used]
        return f"{'; '.join(gone)}. {MEND}" if gone else None

    def warn(self) -> None:
        """Say in the log which plans the config has not, and who is on them."""
        for plan, many in self.directory.in_use().items():
            if plan not in self.offers():
                log.warning("%s: their calls are refused (403 plan_unavailable). %s", told(plan, *many), MEND)

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

    def follow(self, key: StoredKey, batch: Batch, at_us: int, by: Doer) -> None:
        """Let a key follow its account's plan from now on."""
        before = {"planId": self.id_of(key.plan)}
        key.plan = ""
        batch.statements.append(("UPDATE keys SET plan = '' WHERE id = ?", (key.id,)))
        audited(batch, at_us, by, "token.update", f"token:{key.id}", before, {"planId": None})
        self.directory.keep_key(key)

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


def told(plan: str, accounts: int, keys: int) -> str:
    """Who is on a plan that is gone, in words."""
    who = f"{accounts} account{'s' * (accounts != 1)} and {keys} key{'s' * (keys != 1)}"
    return f"[plan.{plan}] is gone, and {who} are on it"
