"""What operators ask of the running gateway, and who else may not."""

import pytest

from ftgate.ports.site import Person
from tests.web.fakes import Asking

ADMIN, USER = b"eyJadmin", b"eyJuser"
ROUTES = [
    ("GET", "/v1/admin/calls"), ("DELETE", "/v1/admin/calls/req_1"), ("POST", "/v1/admin/calls/req_1/stop"),
]  # fmt: skip


def asking() -> Asking:
    made = Asking()
    made.sessions.tokens = {
        "eyJadmin": Person(9, "root", "admin", "default"),
        "eyJuser": Person(8, "u", "user", "default"),
    }
    return made


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_operators_alone(method: str, path: str) -> None:
    house = asking()
    for secret, status in ((None, 401), (b"sk-ft_wrong", 401), (b"sk-ft_right", 403), (USER, 403)):
        assert (await house.ask(path, method=method, secret=secret)).status == status
    assert house.calls.stopped == []


async def test_calls_in_flight() -> None:
    house = asking()
    assert (await house.ask("/v1/admin/calls", secret=ADMIN)).json() == {"data": [{"request_id": "req_1"}]}
    for method, path in ROUTES[1:]:
        answer = await house.ask(path, method=method, secret=ADMIN)
        assert (answer.status, answer.json()) == (200, {"request_id": "req_1", "stopped": True})
        gone = await house.ask(path.replace("req_1", "req_2"), method=method, secret=ADMIN)
        assert (gone.status, gone.json()["error"]["code"]) == (404, "not_found")
    assert [(by.id, by.via) for by in house.calls.stopped] == [(9, "api")] * 2
    wrong = await house.ask("/v1/admin/calls/req_1", method="POST", secret=ADMIN)
    assert (wrong.status, wrong.headers["allow"]) == (405, "DELETE")
