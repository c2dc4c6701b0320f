"""What each setting changes in a running gateway: one row each, and one check that only passes with it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from tests.walk.gateway import Gateway, Script

Check = Callable[[Gateway], Awaitable[None]]


@dataclass(frozen=True)
class Walk:
    """`setting` (section and name) with `value` (TOML) makes `check` pass; without it, all else alike, it fails.

    `given` is what both have, `tail` more of the file, `scripts` what the upstream does; with `tls` it speaks TLS.
    FAKE is the upstream's URL, STRIPE that of a Stripe, COLLECTOR that of a collector, PLACE a directory with a
    certificate.
    """

    setting: str
    value: str
    check: Check
    given: Mapping[str, str] = field(default_factory=dict)
    tail: str = ""
    scripts: Mapping[str, Script] = field(default_factory=dict)
    tls: bool = False


WALKS: list[Walk] = []


def walk(
    setting: str,
    value: str,
    given: Mapping[str, str] | None = None,
    *,
    tail: str = "",
    scripts: Mapping[str, Script] | None = None,
    tls: bool = False,
) -> Callable[[Check], Check]:
    """A row, of which the function below is the check."""

    def keep(check: Check) -> Check:
        WALKS.append(Walk(setting, value, check, given or {}, tail, scripts or {}, tls))
        return check

    return keep
