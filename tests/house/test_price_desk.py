"""A list's prices beside those in force, and into the config, while the gateway runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from ftgate import config
from ftgate.errors import Conflict, InvalidRequest, NotFound
from ftgate.house.live import Live
from ftgate.house.price_desk import KEPT, PriceDesk
from ftgate.house.reload import Reloader
from ftgate.ports.operator import PriceList
from ftgate.ports.site import Doer
from tests.cli.test_prices import CHANNEL, DEARER, NEW, SAME

BY = Doer(2, "root", "session")


class Notes:
    """ports.operator.Deeds."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    async def note(self, by: Doer, action: str, target: str, before: Any = None, after: Any = None) -> None:
        self.said.append((by.id, action, target, after))


class Shop:
    """A desk over a config file."""

    def __init__(self, path: Path, text: str = CHANNEL) -> None:
        path.write_text(text)
        self.path = path
        self.notes = Notes()
        self.live = Live(config.load(path, {}))
        self.desk = PriceDesk(Reloader(self.live, lambda: config.load(path, {})), self.notes)

    async def compare(self, rows: dict[str, Any], **more: Any) -> Any:
        return await self.desk.compare(PriceList("litellm", json.dumps(rows).encode(), **more))

    def priced(self, model: str) -> int:
        (channel,) = self.live.settings.routes.channels
        return channel.models[model].price.output


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "ftgate.toml")


def test_prices_in_force_say_where_they_come_from(shop: Shop, tmp_path: Path) -> None:
    flash = next(row for row in shop.desk.shown() if row["model"] == "deepseek-v4-flash")
    shipped = config.provider("deepseek")
    assert (flash["channels"], flash["date"]) == (["deep"], shipped.prices_date)
    own = CHANNEL + '[channel.models."deepseek-v4-flash"]\ninput = 0.5\noutput = 7\n'
    rows = {row["model"]: row for row in Shop(tmp_path / "own.toml", own).desk.shown()}
    assert (rows["deepseek-v4-flash"]["output"], rows["deepseek-v4-flash"]["date"]) == ("7", None)
    assert rows["deepseek-v4-pro"]["date"] == shipped.prices_date


async def test_what_was_shown_is_written_and_in_force(shop: Shop) -> None:
    found = await shop.compare(SAME | {"deepseek/deepseek-flash": DEARER})
    (change,) = [change for change in found["changes"] if change["model"] == "deepseek-flash"]
    assert found["path"] == str(shop.path) and change["fields"][0]["field"] == "output" and not change["large"]
    assert shop.path.read_text() == CHANNEL  # nothing yet
    before = shop.priced("deepseek-flash")
    done = await shop.desk.apply(found["id"], force=False, by=BY)
    assert done["written"] == 1 and shop.priced("deepseek-flash") == 1_300_000 > before
    assert shop.path.read_text().startswith(CHANNEL)
    assert shop.notes.said == [(2, "prices.import", str(shop.path), {"written": 1, "from": "litellm"})]


async def test_large_changes_by_force_alone(shop: Shop) -> None:
    found = await shop.compare(SAME | {"deepseek/deepseek-flash": {**DEARER, "output_cost_per_token": 0.01}})
    assert [change["large"] for change in found["changes"]] == [True]
    assert (await shop.desk.apply(found["id"], force=False, by=BY))["written"] == 0
    assert shop.path.read_text() == CHANNEL
    assert (await shop.desk.apply(found["id"], force=True, by=BY))["written"] == 1


async def test_a_config_that_changed_meanwhile_is_not_written_over(shop: Shop) -> None:
    found = await shop.compare(SAME | {"deepseek/deepseek-flash": DEARER})
    mine = CHANNEL + '[provider.deepseek.models."deepseek-flash"]\noutput = 9\n'
    shop.path.write_text(mine)
    with pytest.raises(Conflict, match="has changed"):
        await shop.desk.apply(found["id"], force=True, by=BY)
    assert shop.path.read_text() == mine and shop.notes.said == []


async def test_a_config_that_would_not_load_is_as_it_was(shop: Shop) -> None:
    found = await shop.compare({"deepseek/new": NEW}, new=True)
    broken = CHANNEL + "[server]\nport = 99999\n"
    shop.path.write_text(broken)
    with pytest.raises(Conflict, match="would not load"):
        await shop.desk.apply(found["id"], force=False, by=BY)
    assert shop.path.read_text() == broken and [file.name for file in shop.path.parent.iterdir()] == ["ftgate.toml"]


async def test_without_a_config_there_is_none_to_write(shop: Shop) -> None:
    live = Live(config.from_environment({"DEEPSEEK_API_KEY": "sk-x"}, None))
    desk = PriceDesk(Reloader(live, lambda: live.settings), shop.notes)
    found = await desk.compare(PriceList("litellm", json.dumps({"deepseek/deepseek-flash": DEARER}).encode()))
    assert found["path"] is None and found["changes"]
    with pytest.raises(Conflict, match="no config file"):
        await desk.apply(str(found["id"]), force=False, by=BY)


@pytest.mark.parametrize("data", [b"", b"[", b"\xff", b"[]", b'{"data": []}'])
async def test_what_is_no_list(shop: Shop, data: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await shop.desk.compare(PriceList("litellm", data))
    assert refused.value.param == "list"


async def test_old_comparisons_are_forgotten(shop: Shop) -> None:
    ids = [(await shop.compare(SAME))["id"] for _ in range(KEPT + 1)]
    with pytest.raises(NotFound):
        await shop.desk.apply(ids[0], force=False, by=BY)
    assert (await shop.desk.apply(ids[1], force=False, by=BY))["written"] == 0
