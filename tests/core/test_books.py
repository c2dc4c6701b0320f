"""The books, in a small language of rows, and as a state machine against the auditor.

    account A [metered]          opened with nothing                 key k [limit]    a key, and its spending limit
    grant A 50                   hold h A k 60 [estimate]            post h 30 | void h | expire h 30
    A = posted held used         k = used held

A row may end in `-> ...`: a refusal's name, or `charged lost` of an end. Without it a row must succeed. Amounts are
units; MAX is MAX_AMOUNT, and MAX+1 may be written. After every script the auditor reads all its entries and must agree.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from ftgate.core.audit import Audit
from ftgate.core.books import MAX_SPENT, Books, Ended, Entry, Refusal
from ftgate.core.money import MAX_AMOUNT

ACCOUNTS = {"A": 1, "B": 2, "M": 3, "Z": 99}
KEYS = {"k": 11, "l": 12, "z": 98}


class Script:
    """Runs rows; keeps every entry."""

    def __init__(self) -> None:
        self.books = Books()
        self.entries: list[Entry] = []
        self.holds: dict[str, int] = {"never": 10**6, "zero": 0, "negative": -1}

    @staticmethod
    def number(word: str) -> int:
        base, _, more = word.partition("+")
        return (MAX_AMOUNT if base == "MAX" else int(base)) + int(more or 0)

    def run(self, text: str) -> None:
        for line in text.strip().splitlines():
            row, _, expected = line.partition("->")
            words = row.split()
            if not words or words[0].startswith("#"):
                continue
            said = self.look(words) if "=" in words else self.do(words)
            if said is not None or expected:
                assert said == (" ".join(expected.split()) or said), line

    def look(self, words: list[str]) -> None:
        if words[0] in ACCOUNTS:
            balance = self.books.accounts[ACCOUNTS[words[0]]]
            found = [balance.posted, balance.held, balance.used]
        else:
            quota = self.books.quotas[KEYS[words[0]]]
            found = [quota.used, quota.held]
        assert found == [self.number(word) for word in words[2:]], " ".join(words)

    def do(self, words: list[str]) -> str | None:
        books = self.books
        match words:
            case ["account", name, *metered]:
                books.open_account(ACCOUNTS[name], metered=bool(metered))
                return None
            case ["key", name, *limit]:
                books.open_key(KEYS[name], limit=self.number(limit[0]) if limit else None)
                return None
            case ["limit", name, amount]:
                books.quotas[KEYS[name]].limit = self.number(amount)
                return None
            case ["grant" | "topup" | "refund" | "give_back" | "correct" as verb, name, amount, *ref]:
                known = ref[0] if ref else f"g{len(self.entries)}"
                said = getattr(books, verb)(ACCOUNTS[name], self.number(amount), ref=known, at_us=0)
                if isinstance(said, Entry):
                    self.entries.append(said)
            case ["hold", name, account, key, amount, *estimate]:
                said = books.hold(
                    ACCOUNTS[account],
                    KEYS[key],
                    self.number(amount),
                    ref=name,
                    estimate=int(estimate[0]) if estimate else 0,
                    at_us=0,
                )
                if not isinstance(said, Refusal):
                    self.entries.append(said[1])
                    self.holds[name] = said[0].id
            case ["post" | "expire" as verb, name, amount]:
                said = getattr(books, verb)(self.holds[name], self.number(amount), at_us=0)
            case ["void", name]:
                said = books.void(self.holds[name], at_us=0)
            case _:
                raise AssertionError(words)
        if isinstance(said, Ended):
            self.entries += said.entries
            return f"{said.charged} {said.lost}"
        if isinstance(said, Refusal):
            return said.value
        return None

    def audit(self) -> Audit:
        audit = Audit()
        for entry in self.entries:
            audit.note(entry)
        audit.finish(
            {b.account: (b.posted, b.held, b.used) for b in self.books.accounts.values()},
            {q.key: q.used for q in self.books.quotas.values()},
        )
        return audit


SEVEN = "".join(f"hold f{n} M k 5\n post f{n} MAX -> MAXIMUM 0\n" for n in range(7))
OPEN = "account A\n account B\n account M metered\n key k\n key l 100\n grant A 1000\n"

SCRIPTS = {
    "post less than held": "hold h A k 60\n A = 1000 60 0\n post h 30 -> 30 0\n A = 970 0 0\n k = 30 0",
    "post nothing": "hold h A k 60\n post h 0 -> 0 0\n A = 1000 0 0",
    "post all that was held": "hold h A k 1000\n post h 1000 -> 1000 0\n A = 0 0 0",
    "a hold of nothing": "hold h B k 0\n post h 0 -> 0 0\n B = 0 0 0",
    "void": "hold h A k 60\n void h -> 0 0\n A = 1000 0 0\n k = 0 0",
    "expire free": "hold h A k 60\n expire h 0 -> 0 0\n A = 1000 0 0",
    "expire with the estimate": "hold h A k 60 20\n expire h 20 -> 20 0\n A = 980 0 0",
    "expire never passes its hold": "hold h A k 60 90\n expire h 90 -> 60 0\n A = 940 0 0",
    # once
    "post twice": "hold h A k 60\n post h 30\n post h 30 -> already_ended\n A = 970 0 0\n k = 30 0",
    "void after post": "hold h A k 60\n post h 30\n void h -> ended_differently\n A = 970 0 0",
    "post after void": "hold h A k 60\n void h\n post h 30 -> ended_differently\n A = 1000 0 0",
    "expire after post": "hold h A k 60\n post h 30\n expire h 30 -> ended_differently\n A = 970 0 0",
    "post after expire": "hold h A k 60\n expire h 0\n post h 30 -> ended_differently\n A = 1000 0 0",
    # one hold for one id of ours
    "hold twice": "hold h A k 60\n hold h A k 60 -> already_done\n A = 1000 60 0\n post h 30\n hold h A k 60 -> "
    "already_done\n A = 970 0 0",
    "an id with other values": "hold h A k 60\n hold h A k 61 -> id_reused\n hold h A l 60 -> id_reused\n hold h B k "
    "60 -> id_reused",
    "a known id before a spent quota": "hold h A l 90\n hold h A l 90 -> already_done\n hold h A l 91 -> id_reused\n "
    "l = 0 90",
    "a known id before credits": "hold h A k 900\n hold h A k 901 -> id_reused\n hold h Z k 900 -> account_unknown",
    # several holds
    "holds add up": """
        hold a A k 400
        hold b A k 600
        A = 1000 1000 0
        hold c A k 1 -> insufficient_credits
        post a 100
        hold c A k 300
        A = 900 900 0
        void b
        void c
        A = 900 0 0""",
    # more used than held
    "overrun, paid": "hold h A k 60\n post h 100 -> 100 0\n A = 900 0 0\n k = 100 0",
    "overrun, paid in part": "hold h A k 990\n post h 1100 -> 1000 100\n A = 0 0 0\n k = 1000 0",
    "overrun, no credit": "hold h A k 1000\n post h 1001 -> 1000 1\n A = 0 0 0",
    "overrun leaves other holds alone": "hold a A k 60\n hold b A k 900\n post a 200 -> 100 100\n A = 900 900 0\n "
    "post b 900 -> 900 0",
    "overrun past a hold of nothing": "hold h A k 0\n post h 5 -> 5 0\n A = 995 0 0",
    "overrun of an absurd number": "hold h A k 1000\n post h MAX+1000000 -> 1000 MAXIMUM",
    # metered
    "metered holds nothing": "hold h M k 60\n M = 0 0 0\n k = 0 60\n post h 50 -> 50 0\n M = 0 0 50\n k = 50 0",
    "metered posts past its hold": "hold h M k 60\n post h 500 -> 500 0\n M = 0 0 500",
    "metered void": "hold h M k 60\n void h -> 0 0\n M = 0 0 0",
    "metered expire": "hold h M k 60 70\n expire h 70 -> 70 0\n M = 0 0 70",
    "metered past every bound": "hold h M k MAX+1\n post h MAX+5 -> MAXIMUM 5",
    # the most that a key may spend and a metered account use: eight of the largest amounts, within 64 bits
    "the ceiling of a metered account": SEVEN
    + """
        hold h M k 5
        hold i M k 5
        hold j M l 5
        post h MAX -> MAXIMUM 0
        k = CEILING 5
        M = 0 0 CEILING
        post i 7 -> 0 7
        post j 9 -> 0 9
        M = 0 0 CEILING
        hold x M l 0 -> insufficient_credits
        hold x M k 0 -> key_quota_exceeded
        hold x A k 1 -> key_quota_exceeded
        hold x A l 1""",
    "the ceiling of a key": SEVEN
    + """
        hold g M k 5
        hold a A k 60
        hold b A k 5
        hold c A k 60 50
        post g 999999999999999990
        post b 30 -> 10 20
        k = CEILING 120
        A = 990 120 0
        post a 30 -> 0 30
        expire c 50 -> 0 0
        A = 990 0 0""",
    # quotas
    "quota counts open holds": """
        hold a A l 60
        hold b A l 50 -> key_quota_exceeded
        l = 0 60
        post a 10
        l = 10 0
        hold b A l 90
        l = 10 90""",
    "quota and overrun": "hold a A l 100\n post a 150 -> 100 50\n l = 100 0\n hold b A l 1 -> key_quota_exceeded",
    "quota and overrun within it": "hold a A l 60\n post a 80 -> 80 0\n l = 80 0",
    "quota and a metered overrun": "key z 100\n hold a M z 60\n post a 500 -> 100 400\n z = 100 0",
    "quota of a metered account": """
        hold a M l 60
        l = 0 60
        hold b M l 50 -> key_quota_exceeded
        post a 100 -> 100 0
        l = 100 0
        hold b M l 0""",
    "a quota set while a call runs": """
        hold h A k 60
        k = 0 60
        limit k 70
        hold i A k 11 -> key_quota_exceeded
        post h 65 -> 65 0
        k = 65 0
        hold i A k 5""",
    "a quota set below what a call may use": "hold h A k 60\n limit k 10\n post h 50 -> 50 0\n k = 50 0",
    "a quota lowered below what a call may use": "hold h A l 60\n limit l 10\n post h 70 -> 60 10\n l = 60 0",
    "a quota set while a metered call runs": "hold h M k 0\n limit k 10\n post h 50 -> 50 0\n M = 0 0 50",
    "quota and loss": "hold a A k 900\n hold b A l 100\n post b 300 -> 100 200\n l = 100 0",
    # grants
    "grant nothing": "grant A 0\n A = 1000 0 0",
    "grant the most": "grant B MAX\n B = MAX 0 0\n grant B 1 -> amount_out_of_range\n grant B 0",
    # every refusal, alone and before those that come after it
    "amount: grant below zero": "grant A -1 -> amount_out_of_range",
    "amount: grant past the most": "grant B MAX+1 -> amount_out_of_range",
    "amount: grant past the most in sum": "grant A MAX -> amount_out_of_range\n A = 1000 0 0",
    "amount before account": "grant Z MAX+1 -> amount_out_of_range\n grant Z 1 -> account_unknown",
    "amount: hold": """
        hold h A k -1 -> amount_out_of_range
        hold h A k MAX+1 -> amount_out_of_range
        hold h A k MAX -> insufficient_credits""",
    "amount: estimate": "hold h A k 1 -1 -> amount_out_of_range",
    "amount before quota": "hold h A l MAX+1 -> amount_out_of_range",
    "amount before account, hold": "hold h Z z -1 -> amount_out_of_range",
    "amount before hold unknown": "post never -1 -> amount_out_of_range",
    "amount before already ended": "hold h A k 5\n void h\n post h -1 -> amount_out_of_range",
    "account unknown": "hold h Z k 1 -> account_unknown",
    "key unknown": "hold h A z 1 -> account_unknown",
    "account before quota": "hold h Z l 101 -> account_unknown",
    "hold unknown": """
        post never 1 -> hold_unknown
        void never -> hold_unknown
        expire zero 0 -> hold_unknown
        void negative -> hold_unknown""",
    "already ended": "hold h A k 5\n post h 5\n post h 5 -> already_ended\n void h -> ended_differently\n post h 4 "
    "-> ended_differently",
    # ids of ours: a repeat changes nothing, a contradiction is refused
    "topup twice": "topup A 50 t1\n topup A 50 t1 -> already_done\n A = 1050 0 0",
    "topup again with other values": "topup A 50 t1\n topup A 51 t1 -> id_reused\n topup B 50 t1 -> id_reused\n "
    "grant A 50 t1 -> id_reused",
    "account before id": "topup A 50 t1\n topup Z 50 t1 -> account_unknown",
    "amount before id": "topup A 50 t1\n topup A -1 t1 -> amount_out_of_range",
    "a repeat is no matter of room": "grant B MAX g\n grant B MAX g -> already_done",
    "refund": "topup A 50 t1\n refund A 50 r1\n refund A 50 r1 -> already_done\n A = 1000 0 0",
    "refund of what is spent": "refund A 1500 r1\n A = -500 0 0\n hold h A k 1 -> insufficient_credits\n hold h A k 0",
    "refund under an open hold": "hold h A k 900\n refund A 1000 r1\n post h 900 -> 900 0\n A = -900 0 0\n grant A "
    "900\n A = 0 0 0",
    "refund given back": "topup A 50 t1\n refund A 40 r1\n give_back A 15 r2\n give_back A 15 r2 -> already_done\n"
    "refund A 15 r2 -> id_reused\n A = 1025 0 0",
    "give back nothing": "give_back A 0 -> amount_out_of_range\n give_back A -1 -> amount_out_of_range",
    "refund of a negative amount": "refund A -1 -> amount_out_of_range",
    "correct": "correct A 5 c1\n correct A -7 c2\n correct A -7 c2 -> already_done\n correct A 7 c2 -> id_reused\n A "
    "= 998 0 0",
    "correct too much": "correct A MAX+1 -> amount_out_of_range\n correct A MAX -> amount_out_of_range",
    "overrun on a lowered account": "hold h A k 10\n refund A 1200 r1\n post h 50 -> 10 40\n A = -210 0 0",
    "quota": "hold h A l 101 -> key_quota_exceeded\n hold h A l 100",
    "quota before credits": "hold h B l 101 -> key_quota_exceeded\n hold h B l 100 -> insufficient_credits",
    "credits": "hold h A k 1001 -> insufficient_credits\n hold h A k 1000",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_script(name):
    script = Script()
    script.run(OPEN + SCRIPTS[name].replace("MAXIMUM", str(MAX_AMOUNT)).replace("CEILING", str(MAX_SPENT)))
    script.audit()


def test_every_refusal_has_a_row():
    said = "\n".join(SCRIPTS.values())
    assert [refusal.value for refusal in Refusal if f"-> {refusal.value}" not in said] == []
    assert [r.name for r in Refusal] == [
        "amount_out_of_range",
        "account_unknown",
        "id_reused",
        "already_done",
        "hold_unknown",
        "ended_differently",
        "already_ended",
        "key_quota_exceeded",
        "insufficient_credits",
    ]


def test_a_refusal_changes_nothing():
    script = Script()
    script.run(OPEN + "hold h A l 60")
    before = script.books.next_id, len(script.entries)
    script.run("hold x A l 41 -> key_quota_exceeded\n grant Z 1 -> account_unknown\n post never 5 -> hold_unknown")
    assert (script.books.next_id, len(script.entries)) == before
    script.run("A = 1000 60 0\n l = 0 60")


def test_room():
    script = Script()
    script.run(OPEN + "hold h A l 60")
    books = script.books
    assert books.room(1, 11) == 940
    assert books.room(1, 12) == 40
    assert books.room(2, 12) == 0
    assert books.room(3, 11) is None
    assert books.room(3, 12) == 40


def test_what_the_entries_say():
    script = Script()
    script.run(OPEN + "hold h A k 990 7\n post h 1100\n hold m M k 5\n post m 5")
    rows = [(e.id, e.kind, e.debit, e.credit, e.amount, e.hold, e.ref, e.estimate) for e in script.entries]
    assert rows == [
        (1, "grant", "grants", "credits", 1000, 0, "g0", 0),
        (2, "hold", "credits", "revenue", 990, 0, "h", 7),
        (3, "post", "credits", "revenue", 990, 2, "h", 0),
        (4, "overrun", "credits", "revenue", 10, 2, "h", 0),
        (5, "loss", "loss:overrun", "revenue", 100, 2, "h", 0),
        (6, "hold", "usage", "revenue", 0, 0, "m", 0),
        (7, "post", "usage", "revenue", 5, 6, "m", 0),
    ]


def test_parallel_holds_drain_a_balance_exactly():
    """500 holds of 7 on a balance of 100: 14 are taken, 2 units stay."""
    script = Script()
    script.run("account A\n key k\n grant A 100")
    answers = [script.books.hold(1, 11, 7, ref=str(n), estimate=0, at_us=0) for n in range(500)]
    assert sum(isinstance(answer, tuple) for answer in answers) == 14
    assert answers.count(Refusal.insufficient_credits) == 500 - 14
    assert script.books.accounts[1].available == 2


amounts = st.integers(0, 200) | st.sampled_from([0, 1, 10**6, MAX_AMOUNT, MAX_AMOUNT + 1])


class Trading(RuleBasedStateMachine):
    """Random traffic. The auditor reads along; what it computes alone must be what the books remember, at every
    step."""

    holds = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self.script = Script()
        self.script.run(OPEN)
        self.books = self.script.books
        self.audit = Audit()
        self.noted = 0
        self.open: dict[int, int] = {}
        self.ended: set[int] = set()

    @rule(account=st.sampled_from([1, 2, 3, 99]), amount=amounts)
    def grant(self, account, amount):
        said = self.books.grant(account, amount, ref=f"g{len(self.script.entries)}", at_us=0)
        if isinstance(said, Entry):
            self.script.entries.append(said)

    @rule(target=holds, account=st.sampled_from([1, 1, 2, 3]), key=st.sampled_from([11, 12]), amount=amounts)
    def hold(self, account, key, amount):
        balance, quota = self.books.accounts[account], self.books.quotas[key]
        fits = (quota.left is None or amount <= quota.left) and (
            balance.metered or (amount <= balance.available and amount <= MAX_AMOUNT)
        )
        fits = fits and quota.used < MAX_SPENT and (not balance.metered or balance.used < MAX_SPENT)
        said = self.books.hold(account, key, amount, ref=f"h{self.books.next_id}", estimate=amount, at_us=0)
        assert isinstance(said, tuple) == fits
        if isinstance(said, Refusal):
            return multiple()
        self.script.entries.append(said[1])
        self.open[said[0].id] = said[0].amount
        return said[0].id

    @rule(hold=holds, amount=amounts, verb=st.sampled_from(["post", "post", "void", "expire"]))
    def end(self, hold, amount, verb):
        metered = hold in self.books.open and self.books.open[hold].metered
        said = self.books.void(hold, at_us=0) if verb == "void" else getattr(self.books, verb)(hold, amount, at_us=0)
        if hold in self.ended:
            assert said in {Refusal.already_ended, Refusal.ended_differently, Refusal.amount_out_of_range}
            return
        assert isinstance(said, Ended)
        self.script.entries += said.entries
        self.ended.add(hold)
        held = self.open.pop(hold)
        asked = 0 if verb == "void" else amount
        if verb == "post":
            assert said.charged + said.lost == min(asked, said.charged + MAX_AMOUNT)
        if not metered and not any(e.kind == "overrun" for e in said.entries):
            assert said.charged <= held

    @rule(hold=consumes(holds))
    def forget(self, hold):
        """A client that never comes back: its hold stays open."""

    @invariant()
    def balances(self):
        for entry in self.script.entries[self.noted :]:
            self.audit.note(entry)
        self.noted = len(self.script.entries)
        self.audit.finish(
            {b.account: (b.posted, b.held, b.used) for b in self.books.accounts.values()},
            {q.key: q.used for q in self.books.quotas.values()},
        )
        ids = [entry.id for entry in self.script.entries]
        assert ids == sorted(set(ids))
        for balance in self.books.accounts.values():
            assert 0 <= balance.held <= balance.posted <= MAX_AMOUNT or balance.metered
            assert balance.held == sum(h.amount for h in self.books.open.values() if h.account == balance.account)
        for quota in self.books.quotas.values():
            assert quota.held == sum(h.quota_held for h in self.books.open.values() if h.key == quota.key)
        assert set(self.books.open) == set(self.open)
        assert sum(self.audit.ledgers.values()) == 0
        assert max((entry.amount for entry in self.script.entries), default=0) <= MAX_AMOUNT
        # Money in is what is there, what was earned by credits, and nothing else.
        granted = sum(e.amount for e in self.script.entries if e.kind == "grant")
        spent = sum(e.amount for e in self.script.entries if e.debit == "credits" and e.kind != "hold")
        assert granted == sum(b.posted for b in self.books.accounts.values()) + spent


TestTrading = Trading.TestCase
TestTrading.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
