"""The operator's pages of the config, the system and the audit."""

from typing import Any

import pytest

from ftgate.errors import ConfigInvalid, DatabaseBusy, GateError
from ftgate.ports.managing import Acts
from ftgate.ports.site import Rows
from ftgate.web.pages.operate.audit import changes
from tests.web.fakes import Asking
from tests.web.pages.given import given_to
from tests.web.pages.visiting import OPERATOR, SCRIPT, USER, Visitor, gone_to, is_safe, text

SHOWN: dict[str, Any] = {
    "path": "/etc/ftgate.toml", "loaded_at": "2026-05-10T12:00:00.000Z", "last_error": None,
    "last_change": None, "settings": [
        {"name": "server.port", "value": 8400, "origin": "file:3", "after_restart": 8500},
        {"name": "server.cors", "value": False, "origin": "default"},
        {"name": "server.metrics_token", "value": "set", "origin": "file:4"},
        {"name": "server.public_url", "value": None, "origin": "default"},
        {"name": f"channel.{SCRIPT}.models", "value": [SCRIPT, "m"], "origin": "environment"},
        {"name": "plan.default.models", "value": [], "origin": "default"},
        {"name": "channel.lab.timeouts", "value": {"connect": 5.0}, "origin": "file:9"},
    ],
}  # fmt: skip
SYSTEM: dict[str, Any] = {
    "version": "0.1.0", "python": "3.11.7", "sqlite": "3.40.1", "system": "Linux x86_64", "pid": 7,
    "started_at": "2026-05-10T12:00:00.000Z", "uptime_s": 93_784, "data_dir": f"/data/{SCRIPT}", "durability": "power",
    "database_bytes": 4_404_019, "log_bytes": None, "free_bytes": 1_000_000, "last_backup": None,
    "memory_bytes": 70_000_000,
    "processor_s": 1.7, "connections": 3, "calls": 2, "open_holds": 2, "held": "0.25", "commits": 9,
    "commit_mean_ms": 3.25, "commit_p95_ms": 50, "waiting": 1, "trouble": None,
}  # fmt: skip
ACT: dict[str, Any] = {
    "id": "7", "at": "2026-05-10T12:00:00.000Z", "actor": "2", "actor_name": SCRIPT, "via": "session",
    "address": "10.0.0.1", "action": "user.update", "target": "user:5", "before": {"plan": "default", "mode": None},
    "after": {"plan": SCRIPT, "mode": None}, "request_id": "req_1",
}  # fmt: skip


class Written:
    """ports.operator.Config, System and the audit of ports.managing.Records."""

    def __init__(self) -> None:
        self.config = dict(SHOWN)
        self.system = dict(SYSTEM)
        self.faults: list[str] = []
        self.refused: GateError | None = None
        self.reloads: list[int | None] = []
        self.wanted: list[Acts] = []
        self.rows = [ACT]

    def shown(self) -> dict[str, Any]:
        return self.config

    async def check(self) -> list[str]:
        return self.faults

    async def reload(self, by: Any) -> dict[str, Any]:
        if self.refused is not None:
            raise self.refused
        self.reloads.append(by.id)
        return {"ok": True, "changed": ["limits"], "needs_restart": ["server.port"]}

    async def acts(self, wanted: Acts, **_: Any) -> Rows:
        self.wanted.append(wanted)
        return self.rows, len(self.rows), None


class Running:
    """ports.operator.System of what is written."""

    def __init__(self, written: Written) -> None:
        self.written = written

    async def shown(self) -> dict[str, Any]:
        return self.written.system


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def asking(written: Written) -> Asking:
    asking = Asking()
    given_to(asking, config=written, system=Running(written), records=written)
    return asking


@pytest.fixture
def operator(asking: Asking) -> Visitor:
    return Visitor(asking, OPERATOR)


@pytest.mark.parametrize("path", ["/admin/config", "/admin/system", "/admin/audit"])
async def test_operators_alone_see_them_and_texts_are_only_text(asking: Asking, path: str) -> None:
    assert (await Visitor(asking, USER).get(path)).status == 403
    page = await Visitor(asking, OPERATOR).get(path)
    assert page.status == 200 and is_safe(page)


@pytest.mark.parametrize("form", ["check", "reload"])
async def test_operators_alone_send_their_forms(asking: Asking, written: Written, form: str) -> None:
    assert (await Visitor(asking, USER).send(f"/admin/config/{form}")).status == 403
    assert (await Visitor(asking, OPERATOR).send(f"/admin/config/{form}", proof="x")).status == 403
    assert written.reloads == []


async def test_each_setting_with_its_value_and_origin(operator: Visitor, written: Written) -> None:
    said = text(await operator.get("/admin/config"))
    assert "server.port 8400 after a restart 8500 line 3" in said and "1 setting waits for the next start." in said
    assert "server.cors no default" in said and "server.metrics_token set, not shown line 4" in said
    assert "server.public_url not set default" in said and "connect = 5.0" in said
    found = text(await operator.get("/admin/config?q=SERVER.&given=on"))
    assert "server.port" in found and "server.cors" not in found and "plan.default" not in found
    assert "No setting is called that." in text(await operator.get("/admin/config?q=x.y"))
    assert gone_to(await operator.get("/admin/config?q=")) == "/admin/config"
    written.config["path"] = None
    page = await operator.get("/admin/config")
    assert "There is no config file" in text(page) and b'action="/admin/config/reload"' not in page.body


async def test_what_is_written_is_checked_and_read_again(operator: Visitor, written: Written) -> None:
    assert "It can be used as it is written." in text(await operator.send("/admin/config/check"))
    again = text(await operator.send("/admin/config/reload"))
    assert "In force now: limits. From the next start on: server.port." in again and written.reloads == [2]
    written.faults = [f"line 3: {SCRIPT}"]
    wrong = await operator.send("/admin/config/check")
    assert wrong.status == 200 and is_safe(wrong) and "cannot be used as it is written" in text(wrong)
    written.refused = ConfigInvalid([f"line 4: {SCRIPT}"])
    wrong = await operator.send("/admin/config/reload")
    assert is_safe(wrong) and "line 4" in text(wrong)
    written.refused = DatabaseBusy("the database takes none now")
    assert (await operator.send("/admin/config/reload")).status == 503
    written.config["last_change"] = {"at": "2026-05-10T13:00:00.000Z", "settings": ["server.cors", SCRIPT]}
    written.config["last_error"] = f"line 5: {SCRIPT}"
    wrong = await operator.get("/admin/config")
    assert is_safe(wrong) and "could not be used; what was in force before still is. line 5" in text(wrong)
    assert f"The last change came at 10 May 2026, 13:00:00 UTC : server.cors, {SCRIPT}." in text(wrong)


async def test_the_system_says_how_it_is(operator: Visitor, written: Written) -> None:
    said = text(await operator.get("/admin/system"))
    for words in ("healthy ftgate 0.1.0", "4.2 MiB", "976.6 KiB little", "1 d 2 h 3 min", "2 $0.25", "none known",
                  "3.25 ms on average, 95 % under 50 ms", "Changes that wait 1"):  # fmt: skip
        assert words in said, words
    written.system |= {
        "trouble": "the disk is full", "commit_mean_ms": None, "free_bytes": None, "log_bytes": 1024,
        "last_backup": {"at_us": 0, "backup": SCRIPT, "bytes": 2048},
    }  # fmt: skip
    page = await operator.get("/admin/system")
    assert "the disk is full: no new calls are taken." in text(page) and is_safe(page)
    assert "01 Jan 1970, 00:00:00 UTC , 2.0 KiB, to" in text(page)


async def test_the_audit_says_who_changed_what(operator: Visitor, written: Written) -> None:
    page = await operator.get("/admin/audit?actor=root&what=user.update&target=user:5")
    assert written.wanted == [Acts(actor_name="root", action="user.update", target="user:5")]
    assert f"plan default → {SCRIPT}" in text(page) and "dashboard, 10.0.0.1" in text(page)
    assert "mode" not in text(page) and b'href="/admin/users/5"' in page.body
    await operator.get("/admin/audit?actor=2")
    assert written.wanted[-1] == Acts(actor=2)
    assert gone_to(await operator.get("/admin/audit?actor=&what=x")) == "/admin/audit?what=x"
    as_csv = await operator.get("/admin/audit?format=csv")
    assert as_csv.headers["content-type"].startswith("text/csv") and b'""plan"":""default""' in as_csv.body
    assert (await operator.get("/admin/audit?format=json")).json()["data"][0]["before"]["plan"] == "default"
    written.rows = []
    assert "No change is like that." in text(await operator.get("/admin/audit?what=x"))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (None, {"a": 1, "b": [], "c": ""}, [("a", "", "1")]),
        ({"a": "x"}, {"a": "y"}, [("a", "x", "y")]),
        ({"a": ["m"]}, {"a": []}, [("a", '["m"]', "")]),
        (None, None, []),
        ("x", [1], []),
    ],
)
def test_what_a_row_changed(before: Any, after: Any, said: list[tuple[str, str, str]]) -> None:
    assert changes({"before": before, "after": after}) == said
