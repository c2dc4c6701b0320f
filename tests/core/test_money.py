"""Money from text to text, exactly; and what is refused, with words."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate.core import money
from ftgate.core.money import MAX_AMOUNT, PICO_PER_USD

AMOUNTS = [
    ("0", 0),
    ("-0", 0),
    ("5", 5 * PICO_PER_USD),
    (" 5 ", 5 * PICO_PER_USD),
    ("0.25", PICO_PER_USD // 4),
    (".5", PICO_PER_USD // 2),
    ("1e-12", 1),
    ("0.000000000001", 1),
    ("-0.000000000001", -1),
    ("1.000000000000000000000000000000000", PICO_PER_USD),  # zeros past the twelfth decimal say nothing
    ("999999.999999999999", MAX_AMOUNT - 1),
    ("1000000", MAX_AMOUNT),
    ("1e6", MAX_AMOUNT),
    ("+5", 5 * PICO_PER_USD),
    ("5.", 5 * PICO_PER_USD),
    ("1E-7", 100_000),  # as Decimal writes small numbers
    ("\t5\n", 5 * PICO_PER_USD),
    ("-1000000", -MAX_AMOUNT),
    (7, 7 * PICO_PER_USD),
    (Decimal("0.1"), PICO_PER_USD // 10),
]


@pytest.mark.parametrize(("text", "units"), AMOUNTS)
def test_amount(text, units):
    assert money.parse_usd(text) == units


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a decimal amount"),
        ("five", "is not a decimal amount"),
        ("$5", "is not a decimal amount"),
        ("1,000", "is not a decimal amount"),
        ("0x10", "is not a decimal amount"),
        ("True", "is not a decimal amount"),
        ("5_000", "is not a decimal amount; write dollars with the digits 0 to 9 and one dot at most"),
        ("1_0.5", "is not a decimal amount"),
        ("1e1_0", "is not a decimal amount"),
        ("５", "is not a decimal amount"),  # digits of other scripts
        ("٣.٥", "is not a decimal amount"),
        ("1٣", "is not a decimal amount"),
        ("1e٣", "is not a decimal amount"),
        ("\u20035", "is not a decimal amount"),
        ("5\xa0", "is not a decimal amount"),
        ("1.2.3", "is not a decimal amount"),
        (".", "is not a decimal amount"),
        ("-", "is not a decimal amount"),
        ("--5", "is not a decimal amount"),
        ("-+5", "is not a decimal amount"),
        (True, "is not a decimal amount"),
        ("NaN", "not a finite"),
        ("sNaN", "not a finite"),
        ("-Infinity", "not a finite"),
        ("1000000.000000000001", "more than $1,000,000"),
        ("-1000001", "more than $1,000,000"),
        ("1000000.0000000000000000000000000000001", "more than $1,000,000"),  # past the 28 digits Decimal computes with
        ("1e999999", "more than $1,000,000"),
        ("0.0000000000001", "finer than 12 decimals"),
        ("1.00000000000000000000000000000001", "finer than 12 decimals"),
        ("123456.1234567890123456789012345678", "finer than 12 decimals"),
        ("1e-999999", "finer than 12 decimals"),
        ("1e-999999999", "finer than 12 decimals"),
    ],
)
def test_amount_refused(text, words):
    with pytest.raises(ValueError) as said:
        money.parse_usd(text)
    assert words in str(said.value)


PRICES = [
    ("0", 0),
    ("0.28", 280_000),
    ("0.000001", 1),
    ("15", 15_000_000),
    ("100000", 10**11),
    (3, 3_000_000),
    ("0.0280000000", 28_000),
]


@pytest.mark.parametrize(("text", "units"), PRICES)
def test_price(text, units):
    assert money.parse_price(text) == units
    assert Fraction(money.format_price(units)) == Fraction(str(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.0000001", "more than six decimals"),
        ("0.1234567", "more than six decimals"),
        ("1.0000000000000000000000000000000001", "more than six decimals"),
        ("-0.000001", "zero or more"),
        ("NaN", "zero or more"),
        ("Infinity", "zero or more"),
        ("100000.000001", "more than $100,000"),
        ("free", "is not a decimal price"),
        ("1_0", "is not a decimal price; write USD per million tokens with the digits 0 to 9 and one dot"),
        ("０.２８", "is not a decimal price"),
    ],
)
def test_price_refused(text, words):
    with pytest.raises(ValueError) as said:
        money.parse_price(text)
    assert words in str(said.value)


@pytest.mark.parametrize(
    ("units", "plain", "cents"),
    [
        (0, "0", "0.00"),
        (1, "0.000000000001", "0.000000000001"),
        (PICO_PER_USD, "1", "1.00"),
        (9_500_000_000_000, "9.5", "9.50"),
        (-9_500_000_000_000, "-9.5", "-9.50"),
        (-1, "-0.000000000001", "-0.000000000001"),
        (10 * PICO_PER_USD, "10", "10.00"),
        (1_000_000, "0.000001", "0.000001"),
        (150_000_000_000, "0.15", "0.15"),
        (123_456_789_012_345, "123.456789012345", "123.456789012345"),
    ],
)
def test_format(units, plain, cents):
    assert money.format_usd(units) == plain
    assert money.format_usd_cents(units) == cents


@given(st.integers(-MAX_AMOUNT, MAX_AMOUNT))
def test_round_trip(units):
    for text in (money.format_usd(units), money.format_usd_cents(units)):
        assert money.parse_usd(text) == units
        assert Fraction(text) == Fraction(units, PICO_PER_USD)
        assert "e" not in text.lower()
    plain = money.format_usd(units)
    assert not (("." in plain) and plain.endswith(("0", ".")))


@given(st.integers(0, 10**11))
def test_price_round_trip(units):
    assert money.parse_price(money.format_price(units)) == units


@given(st.decimals(allow_nan=False, allow_infinity=False, places=20, min_value=-1_000_001, max_value=1_000_001))
def test_parse_is_exact_or_refuses(value):
    """What is accepted is the very number that was written."""
    try:
        units = money.parse_usd(str(value))
    except ValueError:
        assert abs(Fraction(value)) > 1_000_000 or (Fraction(value) * PICO_PER_USD).denominator != 1
    else:
        assert Fraction(units, PICO_PER_USD) == Fraction(value)


@given(st.integers(0, 10**30), st.integers(1, 10**9))
def test_rounding(numerator, denominator):
    exact = Fraction(numerator, denominator)
    up = money.round_up(numerator, denominator)
    assert up - 1 < exact <= up
    near = money.round_half_up(numerator, denominator)
    assert near - Fraction(1, 2) <= exact < near + Fraction(1, 2)
