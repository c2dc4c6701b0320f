"""What operators ask of the running gateway, and who else may not."""

import pytest

from ftgate.ports.site import Person
from tests.web.fakes import Asking

ADMIN, USER = b"eyJadmin", b"eyJuser"
ROUTES = [
    ("GET", "/v1/admin/calls"), ("DELETE", "/v1/admin/calls/req_1"), ("POST", "/v1/admin/calls/req_1/stop"),
    ("GET", "/v1/admin/channels"), ("GET", "/v1/admin/channels/lab"), ("POST", "/v1/admin/channels/lab/test"),
    ("POST", "/v1/admin/channels/lab/enable"), ("POST", "/v1/admin/channels/lab/disable"),
    ("POST", "/v1/admin/channels/lab/reset"), ("GET", "/v1/admin/config"), ("POST", "/v1/admin/config/check"),
    ("POST", "/v1/admin/config/reload"),
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
    assert house.calls.stopped == [] and house.channels.done == [] and house.config.reloads == []


async def test_calls_in_flight() -> None:
    house = asking()
    assert (await house.ask("/v1/admin/calls", secret=ADMIN)).json() == {"data": [{"request_id": "req_1"}]}
    for method, path in ROUTES[1:3]:
        answer = await house.ask(path, method=method, secret=ADMIN)
        assert (answer.status, answer.json()) == (200, {"request_id": "req_1", "stopped": True})
        gone = await house.ask(path.replace("req_1", "req_2"), method=method, secret=ADMIN)
        assert (gone.status, gone.json()["error"]["code"]) == (404, "not_found")
    assert [(by.id, by.via) for by in house.calls.stopped] == [(9, "api")] * 2
    wrong = await house.ask("/v1/admin/calls/req_1", method="POST", secret=ADMIN)
    assert (wrong.status, wrong.headers["allow"]) == (405, "DELETE")


async def test_channels() -> None:
    house = asking()
    lab = {"name": "lab", "enabled": True}
    assert (await house.ask("/v1/admin/channels", secret=ADMIN)).json() == {"data": [lab]}
    assert (await house.ask("/v1/admin/channels/lab", secret=ADMIN)).json() == lab
    said = {}
    for what, body in (("test", b'{"model": "m"}'), ("test", b""), ("enable", b""), ("disable", b""), ("reset", b"")):
        answer = await house.ask(f"/v1/admin/channels/lab/{what}", method="POST", secret=ADMIN, body=body)
        assert answer.status == 200
        said[what] = answer.json()
    assert house.channels.done == [
        ("test", "m", 9), ("test", None, 9), ("switch", True, 9), ("switch", False, 9), ("reset", 9),
    ]  # fmt: skip
    assert (said["enable"]["enabled"], said["disable"]["enabled"]) == (True, False)
    assert (await house.ask("/v1/admin/channels/other", secret=ADMIN)).status == 404
    wrong = await house.ask("/v1/admin/channels/lab/test", method="POST", secret=ADMIN, body=b'{"model": 5}')
    assert (wrong.status, wrong.json()["error"]["param"]) == (400, "model")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/v1/admin/channels", "/v1/admin/channels/lab"])
async def test_channels_are_made_in_the_config(method: str, path: str) -> None:
    answer = await asking().ask(path, method=method, secret=ADMIN, body=b"{}")
    assert (answer.status, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert "GET" in answer.headers["allow"]


async def test_the_config() -> None:
    house = asking()
    assert (await house.ask("/v1/admin/config", secret=ADMIN)).json() == {"path": None, "settings": []}
    for faults in ([], ["ftgate.toml:3: no"]):
        house.config.faults = faults
        said = await house.ask("/v1/admin/config/check", method="POST", secret=ADMIN)
        assert (said.status, said.json()) == (200, {"ok": not faults, "faults": faults})
    refused = await house.ask("/v1/admin/config/reload", method="POST", secret=ADMIN)
    error = refused.json()["error"]
    assert (refused.status, error["code"], error["type"]) == (400, "config_invalid", "invalid_request_error")
    assert error["faults"] == ["ftgate.toml:3: no"] and house.config.reloads == []
    house.config.faults = []
    done = await house.ask("/v1/admin/config/reload", method="POST", secret=ADMIN)
    assert done.json() == {"ok": True, "changed": [], "needs_restart": []}
    assert [by.id for by in house.config.reloads] == [9]
