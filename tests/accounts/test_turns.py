"""Who has a password hashed next, and who is told to come again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing

from ftgate.accounts.turns import EACH, STRANGERS, Turns
from ftgate.errors import Overloaded


class Crowd:
    """People who come, and hold their place until they are told to go."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery, self.turns = nursery, Turns()
        self.at_it: list[str] = []
        self.gone: dict[str, trio.CancelScope] = {}
        self.done: dict[str, trio.Event] = {}

    async def come(self, who: str, *names: str, known: bool = True) -> None:
        self.nursery.start_soon(partial(self._be, who, *names, known=known))
        await trio.testing.wait_all_tasks_blocked()

    async def _be(self, who: str, *names: str, known: bool) -> None:
        self.done[who] = trio.Event()
        with trio.CancelScope() as self.gone[who]:
            async with self.turns.turn(*names, known=known):
                self.at_it.append(who)
                try:
                    await self.done[who].wait()
                finally:
                    self.at_it.remove(who)

    async def end(self, who: str) -> None:
        self.done[who].set()
        await trio.testing.wait_all_tasks_blocked()

    async def leave(self, who: str) -> None:
        self.gone[who].cancel()
        await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def crowd() -> AsyncIterator[Crowd]:
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            come = Crowd(nursery)
            yield come
            nursery.cancel_scope.cancel()
    assert repr(come.turns) == "<Turns 0 at it, 0 known and 0 strangers wait>" and not come.turns.of


async def test_one_place_is_never_a_strangers() -> None:
    async with crowd() as all:
        for n in range(4):
            await all.come(f"stranger{n}", known=False)
        assert all.at_it == ["stranger0"]
        await all.come("ann")
        assert all.at_it == ["stranger0", "ann"]
        await all.come("bob")
        await all.end("stranger0")
        assert all.at_it == ["ann", "bob"]  # who is known goes first
        await all.end("bob")
        await all.end("ann")
        assert all.at_it == ["stranger1"]


async def test_who_leaves_takes_no_place() -> None:
    async with crowd() as all:
        for n in range(4):
            await all.come(f"stranger{n}", "one address", known=False)
        await all.leave("stranger1")
        await all.leave("stranger0")
        assert all.at_it == ["stranger2"] and all.turns.of[False, "one address"] == 2


async def test_past_a_few_strangers_are_told_to_come_again() -> None:
    async with crowd() as all:
        for n in range(STRANGERS + 1):
            await all.come(f"stranger{n}", f"name{n}", f"address{n}", known=False)
        with pytest.raises(Overloaded) as told:
            async with all.turns.turn("ann", "10.0.0.1", known=False):
                pass
        assert told.value.retry_after_s and told.value.retry_after_s >= 1
        await all.come("ann", "ann", "10.0.0.1")
        assert all.at_it == ["stranger0", "ann"]
        await all.end("stranger0")
        await all.come("bob", "bob", "10.0.0.2", known=False)  # there is room for one again
        assert len(all.turns.strangers) == STRANGERS


@pytest.mark.parametrize("known", [False, True])
async def test_one_name_and_one_address_have_few_places_in_the_line(known: bool) -> None:
    async with crowd() as all:
        for n in range(EACH):
            await all.come(f"someone{n}", "ann", f"address{n}", known=known)
        for names in (("ann", "address99"), ("bob", "ann")):
            with pytest.raises(Overloaded):
                async with all.turns.turn(*names, known=known):
                    pass
        await all.come("bob", "bob", "address0", known=known)
        await all.come("ann", "ann", "address0", known=not known)  # in the other line
        assert all.turns.of[known, "address0"] == 2
