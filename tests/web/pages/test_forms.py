"""Forms, as the API's own reading of fields takes them; and numbers, as pages write them."""

from typing import Any

import pytest

from ftgate.errors import GateError, InvalidRequest
from ftgate.web.pages import writing
from ftgate.web.pages.forms import Form

USD = 10**12


def of(text: str) -> Form:
    return Form.of(text.encode())


def test_fields_are_read_as_the_api_reads_them() -> None:
    form = of("name=+a+b+&quota=&models=a%0D%0Ab%2C+c&models=d&on=on&off=&secret=+p+&left=x")
    said = form.fields("name", "quota", "gone", lists=("models", "nets"), flags=("on", "off"), whole=("secret",))
    assert said.text("name", most=9) == "a b"
    assert said.lines("models", items=9, most=9) == ("a", "b", "c", "d")
    assert said.lines("nets", items=9, most=9) == ()
    assert (said.flag("on"), said.flag("off")) == (True, False)
    assert said.text("secret", most=9) == " p "
    assert [name for name in ("quota", "gone", "left") if said.is_there(name)] == []


def test_an_empty_field_lifts_a_limit_only_where_that_is_meant() -> None:
    form = of("quota=+&expires_at=")
    assert form.fields("quota", nulls=("quota",)).is_null("quota")
    assert not form.fields("quota").is_there("quota")
    assert form.fields(nulls=("quota",)).is_there("quota") is False


def test_what_was_typed_is_shown_again() -> None:
    form = of("name=x&text=a%0D%0Ab")
    assert (form.said("name", "old"), form.said("other", "old"), form.said("text")) == ("x", "old", "a\nb")
    assert (Form({}).ticked("box", default=True), form.ticked("box", default=True)) == (True, False)


def test_beside_its_field_an_error_need_not_name_it() -> None:
    form = of("quota=x")
    for said, shown in (
        ("`quotaReset` must be a day", "This must be a day"),
        ("`quotaReset`: 7 is too many", "7 is too many"),
        ("a `quotaReset` is a day", "a `quotaReset` is a day"),
    ):
        with form.trying():
            raise InvalidRequest(said, param="quotaReset")
        assert form.error_of("quota_reset") == shown
    assert form.error_beside(()) == "a `quotaReset` is a day"


def test_an_error_stays_at_its_field() -> None:
    form = of("allowed_ips=x")
    with form.trying():
        raise InvalidRequest("no network", param="allowedIps")
    assert (form.done, form.error_of("allowed_ips"), form.error_of("name")) == (False, "no network", "")
    assert (form.error_beside(("allowed_ips",)), form.error_beside(("name",))) == ("", "no network")
    with form.trying():
        pass
    assert form.done


def test_what_is_no_gate_error_is_no_word_to_a_person() -> None:
    form = of("")
    with pytest.raises(ZeroDivisionError), form.trying():
        raise ZeroDivisionError
    assert form.error is None


@pytest.mark.parametrize("body", [b"\xff=1", b"a=%ff", b"&".join([b"a=1"] * 501)])
def test_what_no_browser_sends_is_refused(body: bytes) -> None:
    with pytest.raises(GateError):
        Form.of(body)


THIN = "\u202f"
MONEY: list[tuple[Any, str, str]] = [
    (0, "$0.00", '<data class="money" value="0">$0.00</data>'),
    (5 * USD, "$5.00", '<data class="money" value="5">$5.00</data>'),
    (1234567 * USD // 100, f"$12{THIN}345.67", f'<data class="money" value="12345.67">$12{THIN}345.67</data>'),
    (
        123, "$0.000000000123",
        '<data class="money" value="0.000000000123">$0.00<span class="under">0000000123</span></data>',
    ),
    (-USD // 8, "−$0.125", '<data class="money" value="-0.125">−$0.12<span class="under">5</span></data>'),
    ("0.5", "$0.50", '<data class="money" value="0.5">$0.50</data>'),
    (None, "–", '<span class="none">–</span>'),
]  # fmt: skip


@pytest.mark.parametrize(("amount", "text", "table"), MONEY)
def test_money_is_written_whole(amount: Any, text: str, table: str) -> None:
    assert (writing.usd(amount), writing.money(amount)) == (text, table)


def test_cents_are_dollars() -> None:
    assert writing.usd("0.0315", cents=True) == "$0.000315"
    assert writing.usd("560", cents=True) == "$5.60"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1.0 k"), (12_345, "12.3 k"), (999_600, "1.0 M"), (10**10, "10.0 G")]
)  # fmt: skip
def test_numbers_where_there_is_little_room(number: int, text: str) -> None:
    assert writing.short(number) == text.replace(" ", THIN)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(None, "–"), (0, "0 ms"), (999, "999 ms"), (1000, "1.0 s"), (119_999, "120.0 s"), (185_000, "3 min 5 s")]
)  # fmt: skip
def test_spans(milliseconds: int | None, text: str) -> None:
    assert writing.ms(milliseconds).replace(THIN, " ") == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "–"), (0, 5, "0 %"), (1, 3, "33.3 %"), (5, 5, "100 %"), (99_999, 100_000, ">99.9 %"),
        (1, 100_000, "<0.1 %"),
    ],
)  # fmt: skip
def test_shares_never_hide_a_failure(part: int, whole: int, text: str) -> None:
    assert writing.percent(part, whole).replace(THIN, " ") == text


def test_times_and_sizes() -> None:
    assert writing.when("2026-05-10T12:00:00.000Z") == writing.when(1_778_414_400_000_000) == "10 May 2026, 12:00:00"
    assert (writing.size(5), writing.size(2048), writing.size(5 << 20)) == tuple(
        text.replace(" ", THIN) for text in ("5 B", "2.0 KiB", "5.0 MiB")
    )
