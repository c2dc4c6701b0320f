"""Money: whole picodollars, from text to text, never through a float.

One unit is 10⁻¹² USD (a *pico*), a Python int, INTEGER in STRICT tables. A price with up to six decimals per million
tokens is then a whole number of units per token, so a charge is a sum of integer products and exact by construction.
Decimal stands only at the two ends: reading what a person wrote, writing what a person reads.
"""

import re
from decimal import Context, Decimal, Inexact, InvalidOperation

PICO_PER_USD = 10**12
MAX_AMOUNT = 1_000_000 * PICO_PER_USD
"""Largest single amount (a million dollars). Sums of a few of them still fit SQLite's 64-bit INTEGER."""

MAX_PRICE = 100_000
"""USD per million tokens. The longest prompt that is believed (ten million tokens) then costs at most MAX_AMOUNT, so no
charge can overflow a column."""


_WRITTEN = re.compile(r"[+-]?([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
"""How a number is written here. Decimal itself takes more: 5_000, and the digits of every script."""
PLAIN = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?")
"""An amount as people and programs give it, by the command line and in a text of JSON: no exponent, no sign but a
minus."""
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation])
"""Decimal rounds to 28 digits unless told otherwise; this one raises where a digit that counts would be lost."""


def _whole(value: Decimal, places: int) -> int | None:
    """`value` x 10^places where that is a whole number, else None."""
    try:
        units = value.scaleb(places, _EXACT)
        return int(units) if units == units.to_integral_value(context=_EXACT) else None
    except Inexact:
        return None


def _decimal(text: str) -> Decimal | None:
    """The number that a text is, with the digits 0 to 9 and one dot at most, or one that is not finite; None for
    anything else."""
    text = text.strip(" \t\r\n")
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if _WRITTEN.fullmatch(text) or not value.is_finite() else None


def parse_usd(text: str | int | Decimal) -> int:
    """Units for a decimal amount in USD, exactly. Raises ValueError with words for the person who wrote it."""
    value = text if isinstance(text, Decimal) else _decimal(str(text))
    if value is None:
        raise ValueError(
            f"{text!r} is not a decimal amount; write dollars with the digits 0 to 9 and one dot at most, like 5 or "
            "0.25"
        )
    if not value.is_finite():
        raise ValueError(f"{text!r} is not a finite amount")
    if not -1_000_000 <= value <= 1_000_000:
        raise ValueError(f"{text} is more than $1,000,000, the largest single amount")
    units = _whole(value, 12)
    if units is None:
        raise ValueError(f"{text} is finer than 12 decimals; the ledger's unit is 0.000000000001 USD")
    return units


def parse_price(value: int | str | Decimal) -> int:
    """Units per token for a price in USD per million tokens. Raises ValueError: negative, over six decimals, absurd."""
    price = value if isinstance(value, Decimal) else _decimal(str(value))
    if price is None:
        raise ValueError(
            f"{value!r} is not a decimal price; write USD per million tokens with the digits 0 to 9 and one dot, "
            "like 0.28"
        )
    if not price.is_finite() or price < 0:
        raise ValueError(f"a price is zero or more, not {value}")
    if price > MAX_PRICE:
        raise ValueError(f"{value} is more than $100,000 per million tokens; prices are USD per 1,000,000 tokens")
    units = _whole(price, 6)
    if units is None:
        raise ValueError(f"{value} has more than six decimals; round it to 0.000001 USD per million tokens")
    return units


def format_usd(units: int) -> str:
    """Exact plain decimal in USD: no exponent, no trailing zeros, at least "0"."""
    if units < 0:
        return "-" + format_usd(-units)
    whole, part = divmod(units, PICO_PER_USD)
    return f"{whole}.{str(part).zfill(12)}".rstrip("0") if part else str(whole)


def format_usd_cents(units: int) -> str:
    """USD with at least two decimals, as people write money: 9.5 is "9.50", 0.000001 stays exact."""
    text = format_usd(units)
    whole, _, part = text.partition(".")
    return f"{whole}.{part:0<2}"


def format_cents(units: int) -> str:
    """Exact plain decimal in US cents."""
    return format_usd(units * 100)


def format_price(units: int) -> str:
    """USD per million tokens for units per token, exact."""
    return format_usd(units * 10**6)


def round_half_up(numerator: int, denominator: int) -> int:
    """Nearest integer to a non-negative fraction, halves up."""
    return (2 * numerator + denominator) // (2 * denominator)


def round_up(numerator: int, denominator: int) -> int:
    """Smallest integer not below a non-negative fraction."""
    return -(-numerator // denominator)
