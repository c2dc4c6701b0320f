"""How long rows are kept, and how deleting them gives way."""

import pytest

from ftgate.core.retention import BUSY_REST_S, DAY_US, LEAST, MOST, QUIET_S, Pace, kept_from

NOW = 1_790_000_000_000_000


@pytest.mark.parametrize(
    ("days", "since"),
    [(1, NOW - DAY_US), (30, NOW - 30 * 24 * 3600 * 1_000_000), (36_500, NOW - 36_500 * DAY_US)],
)
def test_since_when_rows_are_kept(days: int, since: int) -> None:
    assert kept_from(days, NOW) == since


RESTS = [
    # commits in all at each of ours, a second apart; seconds each took; rests
    ("nobody else", [1, 2, 3, 4], 0.01, [0.02, 0.02, 0.02, 0.02]),
    ("others now and then", [1, 3, 4, 5], 0.01, [0.02, BUSY_REST_S, BUSY_REST_S, BUSY_REST_S]),
    ("a slow disk with others", [9, 19, 29], 0.5, [1.0, 7.5, 7.5]),
    ("others have gone", [1, 9, 10, 11, 12, 13, 14, 15], 0.01, [0.02, *[BUSY_REST_S] * int(QUIET_S), 0.02, 0.02]),
]


@pytest.mark.parametrize(("name", "commits", "took_s", "rests"), RESTS, ids=[row[0] for row in RESTS])
def test_rests(name: str, commits: list[int], took_s: float, rests: list[float]) -> None:
    pace = Pace()
    assert [pace.rest_s(100.0 + n, took_s, made) for n, made in enumerate(commits)] == pytest.approx(rests)


@pytest.mark.parametrize(
    ("ended", "pieces", "size"),
    [(0, 80, LEAST), (80, 80, LEAST), (8000, 80, 200), (8001, 80, 201), (10**6, 4, MOST), (50, 1, 100)],
)
def test_more_go_than_come(ended: int, pieces: int, size: int) -> None:
    pace = Pace()
    pace.look(1000)
    assert pace.piece == LEAST
    for n in range(pieces):
        pace.rest_s(n, 0.01, n)
    pace.look(1000 + ended)
    assert pace.piece == size
    pace.look(1000 + ended + 9)  # nothing has gone meanwhile: nothing is known
    assert pace.piece == size
