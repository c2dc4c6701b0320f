"""The auditor names the first row that disagrees: each Disagreement planted in an otherwise good history."""

from contextlib import nullcontext

import msgspec
import pytest

from ftgate.core.audit import Audit, Disagreement, State
from ftgate.core.books import Entry
from tests.core.test_books import OPEN, Script


def row(id, kind, amount, *, hold=0, account=1, key=11, debit="credits", credit="revenue", ref="r"):
    return Entry(id, kind, account, key, debit, credit, amount, hold, ref, 0, 0)


GOOD = [
    row(1, "grant", 1000, key=0, debit="grants", credit="credits"),
    row(2, "grant", 500, key=0, account=2, debit="grants", credit="credits"),
    row(3, "hold", 600),
    row(4, "hold", 400, key=12, ref="s"),
    row(5, "void", 0, hold=4, key=12, ref="s"),
    row(6, "post", 600, hold=3),
    row(7, "overrun", 400, hold=3),
    row(8, "loss", 50, hold=3, debit="loss:overrun"),
    row(9, "hold", 0, account=3, key=13, debit="usage", ref="m"),
    row(10, "post", 70, hold=9, account=3, key=13, debit="usage", ref="m"),
    row(11, "hold", 100, account=2, key=14, ref="t"),
    row(12, "hold", 100, account=2, key=14, ref="u"),
    row(13, "expire", 30, hold=12, account=2, key=14, ref="u"),
]
BALANCES = {1: (0, 0, 0), 2: (470, 100, 0), 3: (0, 0, 70), 4: (0, 0, 0)}
KEYS = {11: 1000, 12: 0, 13: 70, 14: 30, 15: 0}


def read(entries, balances=BALANCES, keys=KEYS):
    audit = Audit()
    for entry in entries:
        audit.note(entry)
    audit.finish(balances, keys)
    return audit


def test_a_good_history():
    audit = read(GOOD)
    assert audit.entries == 13
    assert list(audit.open) == [11]
    assert audit.ledgers["revenue"] == 600 + 400 + 50 + 70 + 30


def booted(boots):
    """GOOD, its entries written by these boots: id -> boot."""
    return [msgspec.structs.replace(entry, boot=boots.get(entry.id, 2)) for entry in GOOD]


def test_a_boot_ends_its_own_holds_and_another_one_lets_them_expire():
    assert read(booted({12: 1, 13: 2})).entries == 13
    assert read(booted({12: 3, 13: 2})).entries == 13  # of a gateway that died, by one that runs for longer
    assert read(booted({3: 0, 6: 0, 7: 0, 8: 0, 12: 0, 13: 2})).entries == 13  # from before entries said so
    assert read(booted({12: 1, 13: 0})).entries == 13  # as an older version, started again, would write


@pytest.mark.parametrize(
    ("boots", "words"),
    [
        ({6: 3, 13: 3}, "entry 6: boot 3 ends hold 3 of boot 2 by a post"),
        ({5: 1, 13: 3}, "entry 5: boot 1 ends hold 4 of boot 2 by a void"),
        ({9: 0, 13: 3}, "entry 10: boot 2 ends hold 9 of boot 0 by a post"),
        ({}, "entry 13: boot 2 lets hold 12 expire, which boot 2 has taken"),
        ({12: 3, 13: 3}, "entry 13: boot 3 lets hold 12 expire, which boot 3 has taken"),
    ],
)
def test_a_wrong_boot_is_named(boots, words):
    with pytest.raises(Disagreement, match=words):
        read(booted(boots))


def changed(which, **fields):
    return [msgspec.structs.replace(entry, **fields) if entry.id == which else entry for entry in GOOD]


def without(id):
    """With a gap in the ids."""
    return [entry for entry in GOOD if entry.id != id]


def renumbered(entries):
    """The ids in a row again, and the holds that are pointed at with them."""
    ids = {entry.id: n for n, entry in enumerate(entries, 1)}
    return [msgspec.structs.replace(e, id=ids[e.id], hold=ids.get(e.hold, 99 if e.hold else 0)) for e in entries]


def closed_up(id):
    """Without an entry, and with no gap to tell of it."""
    return renumbered(without(id))


def moved(id, after):
    entry = next(e for e in GOOD if e.id == id)
    rest = without(id)
    at = next(i for i, e in enumerate(rest) if e.id == after) + 1
    return renumbered([*rest[:at], entry, *rest[at:]])


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (changed(6, id=5), "entry 5 comes after entry 5"),
        (changed(6, id=2), "entry 2 comes after entry 5"),
        (changed(1, amount=-1), "entry 1: negative amount -1"),
        (changed(1, kind="gift"), "entry 1: a gift from grants to credits"),
        (changed(1, debit="revenue"), "entry 1: a grant from revenue to credits"),
        (changed(7, debit="usage"), "entry 7: a overrun from usage to revenue"),
        (changed(8, debit="credits"), "entry 8: a loss from credits to revenue"),
        (changed(9, amount=5), "entry 9: a metered hold of 5"),
        (changed(3, amount=1001), "entry 3: account 1: holds of 1001 stand on 1000"),
        (changed(4, amount=401), "entry 4: account 1: holds of 1001 stand on 1000"),
        (without(1), "entry 1 is missing: after entry 0 comes entry 2"),
        (without(3), "entry 3 is missing: after entry 2 comes entry 4"),
        (without(12), "entry 12 is missing: after entry 11 comes entry 13"),
        (changed(13, id=15), "entry 13 is missing: after entry 12 comes entry 15"),
        (closed_up(1), "entry 2: account 1: holds of 600 stand on 0"),
        (closed_up(3), "entry 5: ends hold 99, which is not open"),
        (changed(6, hold=4), "entry 6: ends hold 4, which is not open"),  # a second end
        (changed(6, hold=0), "entry 6: ends hold 0, which is not open"),
        (changed(6, account=2), "entry 6: does not match hold 3 in account, key, ledger or ref"),
        (changed(6, key=12), "entry 6: does not match hold 3"),
        (changed(6, ref="x"), "entry 6: does not match hold 3"),
        (changed(10, debit="credits"), "entry 10: does not match hold 9"),
        (changed(6, amount=601), "entry 6: posts 601, more than hold 3 of 600"),
        (changed(13, amount=101), "entry 13: posts 101, more than hold 12 of 100"),
        (changed(5, amount=1), "entry 5: a void of 1"),
        (changed(7, hold=4), "entry 7: overrun without the post of hold 4 before it"),
        (changed(7, account=2), "entry 7: does not match hold 3 in account, key or ref"),
        (changed(7, key=12), "entry 7: does not match hold 3"),
        (changed(8, hold=9), "entry 8: loss without the post of hold 9 before it"),
        (changed(8, ref="x"), "entry 8: does not match hold 3"),
        (changed(6, kind="expire"), "entry 7: overrun without the post of hold 3 before it"),
        (closed_up(6), "entry 6: overrun without the post of hold 3 before it"),
        (moved(8, 9), "entry 9: loss without the post of hold 3 before it"),
        (changed(7, amount=401), "entry 7: account 1 falls below zero, to -1"),
        # found at the end
        (changed(1, amount=1001), "account 1: balance says posted, held, used = (0, 0, 0); entries say (1, 0, 0)"),
        (changed(10, amount=71), "account 3: balance says posted, held, used = (0, 0, 70); entries say (0, 0, 71)"),
        (closed_up(7), "account 1: balance says"),
        (closed_up(5), "entry 6: takes from account 1 what its open holds have set aside"),
        (without(13), "account 2: balance says"),
    ],
)
def test_tampered_entries(entries, words):
    with pytest.raises(Disagreement) as said:
        read(entries)
    assert words in str(said.value)


@pytest.mark.parametrize(
    ("balances", "keys", "words"),
    [
        ({**BALANCES, 1: (1, 0, 0)}, KEYS, "account 1: balance says posted, held, used = (1, 0, 0)"),
        ({**BALANCES, 2: (470, 0, 0)}, KEYS, "account 2: balance says"),
        ({**BALANCES, 3: (0, 0, 0)}, KEYS, "account 3: balance says"),
        ({**BALANCES, 4: (0, 0, 1)}, KEYS, "account 4: balance says"),
        ({a: b for a, b in BALANCES.items() if a != 2}, KEYS, "account 2 has entries and no balance"),
        (BALANCES, {**KEYS, 11: 999}, "key 11: spent says 999; entries say 1000"),
        (BALANCES, {**KEYS, 15: 1}, "key 15: spent says 1; entries say 0"),
        (BALANCES, {k: v for k, v in KEYS.items() if k != 13}, "key 13: spent says 0; entries say 70"),
    ],
)
def test_tampered_balances(balances, keys, words):
    with pytest.raises(Disagreement) as said:
        read(GOOD, balances, keys)
    assert words in str(said.value)


def test_ledgers_that_do_not_add_up():
    audit = Audit()
    audit.ledgers["revenue"] += 1
    with pytest.raises(Disagreement, match="do not add up"):
        audit.finish({}, {})


@pytest.mark.parametrize(("posted", "lowered", "good"), [(600, [], True), (599, [1], True), (599, [], False)])
def test_holds_that_a_checkpoint_leaves_open_stand_on_something(posted, lowered, good):
    """Where balance and checkpoint were both changed by hand, no entry behind them need touch the account."""
    ledgers = {"grants": -posted, "credits": posted}
    audit = Audit.resume(State(1, 1, {1: posted}, {}, {}, ledgers, [row(1, "hold", 600)], lowered))
    with nullcontext() if good else pytest.raises(Disagreement, match="account 1: holds of 600 stand on 599"):
        audit.finish({1: (posted, 600, 0)}, {})


def test_a_reading_goes_on_from_where_another_stopped():
    script = Script()
    script.run(
        OPEN
        + "hold h A k 100\n hold m M k 5\n hold i A l 50\n post h 130\n refund A 2000 r\n post m 7\n void i\n hold x "
        "B l 0"
    )
    whole = script.audit()
    for stop in range(len(script.entries) + 1):
        if stop < len(script.entries) and script.entries[stop].kind in {"overrun", "loss"}:
            continue  # in one commit with its post
        first = Audit()
        for entry in script.entries[:stop]:
            first.note(entry)
        second = Audit.resume(msgspec.json.decode(msgspec.json.encode(first.state()), type=State))
        for entry in script.entries[stop:]:
            second.note(entry)
        assert second.state() == whole.state()
        assert {a: u for a, u in second.held.items() if u} == {a: u for a, u in whole.held.items() if u}


# What a refund or a correction takes


def take(id, amount, kind="refund"):
    credit = "clearing:stripe" if kind == "refund" else "corrections"
    return row(id, kind, amount, key=0, credit=credit, ref=f"x{id}")


def give(id, amount):
    return row(id, "grant", amount, key=0, debit="grants", credit="credits", ref=f"g{id}")


BELOW = [give(1, 1000), row(2, "hold", 300), row(3, "hold", 300, ref="s"), take(4, 900)]
"""Two holds of 300 stand on 100."""


@pytest.mark.parametrize(
    ("entries", "lowered"),
    [
        ([give(1, 1000), row(2, "hold", 300), take(3, 700)], False),  # what is left covers the hold
        ([give(1, 1000), row(2, "hold", 300), take(3, 701, "correct")], True),
        (BELOW, True),
        ([*BELOW, give(5, 499)], True),
        ([*BELOW, give(5, 500)], False),
        ([*BELOW, row(5, "void", 0, hold=2)], True),
        ([*BELOW, row(5, "void", 0, hold=2), row(6, "post", 200, hold=3, ref="s")], True),  # to -100
        ([*BELOW, row(5, "void", 0, hold=2), row(6, "post", 200, hold=3, ref="s"), give(7, 100)], False),
        (
            [*BELOW, row(5, "void", 0, hold=2), row(6, "expire", 100, hold=3, ref="s")],
            False,
        ),  # nothing open over nothing
        ([*BELOW, give(5, 500), take(6, 1)], True),
    ],
)
def test_how_long_an_account_may_stand_below_its_holds(entries, lowered):
    audit = Audit()
    for entry in entries:
        audit.note(entry)
    assert audit.lowered == ({1} if lowered else set())


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([row(6, "post", 300, hold=2), row(7, "overrun", 301, hold=2)], "entry 7: account 1 falls below zero, to -1"),
        (
            [row(6, "post", 300, hold=2), row(7, "overrun", 1, hold=2)],
            "entry 7: takes from account 1 what its open holds have set aside",
        ),
        ([row(6, "hold", 1, ref="t")], "entry 6: account 1: holds of 601 stand on 600"),
    ],
)
def test_a_refund_does_not_weaken_the_checks_for_ever(more, words):
    """The credits cover the open holds again: no call may take an account below them."""
    audit = Audit()
    for entry in [*BELOW, give(5, 500)]:
        audit.note(entry)
    with pytest.raises(Disagreement) as said:
        for entry in more:
            audit.note(entry)
    assert words in str(said.value)


def give_back(id, amount):
    return row(id, "refund", amount, key=0, debit="clearing:stripe", credit="credits", ref=f"x{id}")


def test_refunds_give_back_what_they_have_taken_and_no_more():
    audit = Audit()
    for entry in [give(1, 1000), take(2, 300), give_back(3, 100), give_back(4, 200)]:
        audit.note(entry)
    assert audit.posted == {1: 1000}
    with pytest.raises(Disagreement, match="entry 5: account 1 is given back 1, more than refunds have taken"):
        Audit.resume(audit.state()).note(give_back(5, 1))
