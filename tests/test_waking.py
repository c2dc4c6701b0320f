"""What tasks are woken with."""

import trio
import trio.testing

from ftgate.waking import NOTHING


async def test_every_sleeper_wakes_with_nothing(autojump_clock):
    came = []

    def stay(_: object) -> trio.lowlevel.Abort:
        return trio.lowlevel.Abort.SUCCEEDED

    async def sleep(place: int) -> None:
        asleep[place] = trio.lowlevel.current_task()
        for _ in range(2):
            came.append((place, await trio.lowlevel.wait_task_rescheduled(stay)))

    asleep: dict[int, trio.lowlevel.Task] = {}
    async with trio.open_nursery() as nursery:
        for place in range(3):
            nursery.start_soon(sleep, place)
        for _ in range(2):
            await trio.testing.wait_all_tasks_blocked()
            for task in asleep.values():
                trio.lowlevel.reschedule(task, NOTHING)
    assert sorted(came, key=lambda one: one[0]) == [(0, None)] * 2 + [(1, None)] * 2 + [(2, None)] * 2
