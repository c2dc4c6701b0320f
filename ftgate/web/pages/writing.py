"""How pages write what they show: the templates' environment, and its filters."""

import os
import shlex
import sys
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import BytecodeCache, Environment, FileSystemBytecodeCache, PackageLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup

from ftgate.core.moments import iso
from ftgate.core.money import format_usd, format_usd_cents, parse_usd
from ftgate.web.fields import UNITS_PER_CENT
from ftgate.web.pages.reasons import CALL_STATES
from ftgate.web.pages.statics import statics
from ftgate.web.pages.words import MEANINGS

THIN = "\u202f"
"""Between a number's thousands, and a number and its unit."""


class Compiled(FileSystemBytecodeCache):
    """Templates as they were compiled, beside them as Python keeps its own modules: to compile those of one page keeps
    the loop from its calls for a quarter of a second. Where nothing can be written, nothing is kept."""

    def __init__(self, templates: Path) -> None:
        super().__init__(str(templates / "__pycache__"), f"%s.{sys.implementation.cache_tag}.template")

    def load_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                os.makedirs(self.directory, exist_ok=True)
                super().dump_bytecode(bucket)


@cache
def environment(compiled: BytecodeCache | None = None) -> Environment:
    """Everything that is put into a template is escaped, and what is missing in it is a fault. `compiled` is where the
    compiled templates are kept; beside them by default."""
    made = Environment(
        bytecode_cache=compiled or Compiled(Path(__file__).parents[1] / "templates"),
        loader=PackageLoader("ftgate.web", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, auto_reload=False, cache_size=-1,
    )  # fmt: skip
    made.globals.update(static=statics().path, meanings=MEANINGS, call_states=CALL_STATES)
    made.filters.update(
        usd=usd,
        plain_usd=plain_usd,
        money=money,
        count=count,
        short=short,
        ms=ms,
        percent=percent,
        when=when,
        iso=at,
        size=size,
        shell=shlex.quote,
    )
    return made


def units_of(amount: int | str, *, cents: bool = False) -> int:
    """Units of what the services give: units, or a text of USD, or of US cents."""
    if isinstance(amount, int):
        return amount
    return int(Decimal(amount) * UNITS_PER_CENT) if cents else parse_usd(amount)


def usd(amount: int | str | None, *, cents: bool = False) -> str:
    """An amount in plain text, exact: $12.345."""
    if amount is None:
        return "–"
    units = units_of(amount, cents=cents)
    return f"{'−' * (units < 0)}${_grouped(format_usd_cents(abs(units)))}"


def plain_usd(amount: int | str, *, cents: bool = False) -> str:
    """An amount as it is typed: 12.345."""
    return format_usd_cents(units_of(amount, cents=cents))


def money(amount: int | str | None, *, cents: bool = False) -> Markup:
    """An amount as a table shows it: what is under a cent is grey, none of it is left out."""
    if amount is None:
        return Markup('<span class="none">–</span>')
    units = units_of(amount, cents=cents)
    whole, _, part = format_usd_cents(abs(units)).partition(".")
    under = Markup('<span class="under">{}</span>').format(part[2:]) if part[2:] else ""
    sign = "−" if units < 0 else ""
    return Markup('<data class="money" value="{}">{}${}.{}{}</data>').format(
        format_usd(units), sign, _grouped(whole), part[:2], under
    )


def _grouped(number: str) -> str:
    whole, dot, part = number.partition(".")
    return f"{int(whole):,}".replace(",", THIN) + dot + part


def count(number: int | str | None) -> str:
    """A whole number: 1 234 567."""
    return "–" if number is None else f"{int(number):,}".replace(",", THIN)


def short(number: int | str | None) -> str:
    """A whole number where there is little room: 1.2 M."""
    if number is None:
        return "–"
    left = float(number)
    for unit in ("", "k", "M", "G"):
        if abs(left) < 999.5 or unit == "G":
            return f"{left:.{0 if not unit or abs(left) >= 99.95 else 1}f}{THIN if unit else ''}{unit}"
        left /= 1000
    raise AssertionError


def ms(milliseconds: int | None) -> str:
    """A span of time, given in milliseconds: 840 ms, 2.4 s, 3 min 5 s."""
    if milliseconds is None:
        return "–"
    if milliseconds < 1000:
        return f"{milliseconds}{THIN}ms"
    if milliseconds < 120_000:
        return f"{milliseconds / 1000:.1f}{THIN}s"
    return f"{milliseconds // 60_000}{THIN}min {milliseconds // 1000 % 60}{THIN}s"


def percent(part: int, whole: int) -> str:
    """A share, never rounded up to all nor down to none."""
    if not whole:
        return "–"
    share = part * 100 / whole
    if part != whole and share > 99.9:
        return f">99.9{THIN}%"
    if part and share < 0.1:
        return f"<0.1{THIN}%"
    return f"{share:.1f}".removesuffix(".0") + f"{THIN}%"


def at(moment: int | str) -> str:
    """A time as ISO text; given so, or in microseconds since 1970."""
    return iso(moment) if isinstance(moment, int) else moment


def when(moment: int | str) -> str:
    """A time as people read it, in UTC."""
    found = datetime.fromisoformat(at(moment).replace("Z", "+00:00")).astimezone(UTC)
    return f"{found:%d} {found:%b} {found:%Y}, {found:%H:%M:%S}"


def size(octets: int) -> str:
    """A number of bytes: 4.2 MiB."""
    left: Any = octets
    for unit in ("B", "KiB", "MiB", "GiB"):
        if left < 1024 or unit == "GiB":
            return f"{left:.{0 if unit == 'B' else 1}f}{THIN}{unit}"
        left /= 1024
    raise AssertionError
