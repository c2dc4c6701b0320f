"""Whose plan a key's calls go by, when the config or its account changes."""

from pathlib import Path
from typing import Any

import pytest

from ftgate.accounts import Accounts
from ftgate.errors import Forbidden
from ftgate.ports import PlanOffer, SiteSettings
from ftgate.ports.site import Doer
from tests.accounts.opened import found, opened

ANN, ROOT = Doer(1, "ann", "api"), Doer(9, "root", "api")
PLANS = {"default": PlanOffer(), "cheap": PlanOffer(selectable=True), "vip": PlanOffer()}


class House:
    """Accounts whose config changes."""

    def __init__(self) -> None:
        self.plans = dict(PLANS)

    def site(self) -> SiteSettings:
        return SiteSettings(plans=self.plans)

    def reload(self, accounts: Accounts, **plans: PlanOffer) -> None:
        self.plans = {"default": PlanOffer(), **plans}
        accounts.adopt()


async def key_of(accounts: Accounts, **fields: object) -> tuple[int, str]:
    made, secret = await accounts.keys.make(1, {"name": "k", **fields}, ANN)
    return int(str(made["id"])), secret


async def plan(accounts: Accounts, secret: str) -> tuple[str, Any]:
    """By which plan its calls go, and which it shows."""
    key = await found(accounts, secret)
    return key.plan, accounts.keys.shown(key.id, 1)["planId"]


async def begun(accounts: Accounts) -> None:
    await accounts.users.create(username="ann")
    accounts.plans.adopt()


async def test_a_key_loses_a_plan_with_its_account(path: Path) -> None:
    house = House()
    async with opened(path, site=house.site) as accounts:
        await begun(accounts)
        await accounts.managed.change(1, {"plan": "vip"}, ROOT)
        _, pinned = await key_of(accounts, plan_id=3)
        _, plain = await key_of(accounts)
        _, cheap = await key_of(accounts, plan_id=2)
        assert [await plan(accounts, one) for one in (pinned, plain, cheap)] == [("vip", 3), ("vip", 3), ("cheap", 2)]
        await accounts.managed.change(1, {"plan": "default"}, ROOT)
        moved = [("default", 1), ("default", 1), ("cheap", 2)]
        assert [await plan(accounts, one) for one in (pinned, plain, cheap)] == moved
        assert accounts.directory.plan_of_key(1) == "default"  # its limits too
    async with opened(path, site=house.site) as accounts:
        assert [await plan(accounts, one) for one in (pinned, plain, cheap)] == moved


async def test_a_key_loses_a_plan_that_is_no_longer_for_all_and_has_it_back(path: Path) -> None:
    house = House()
    async with opened(path, site=house.site) as accounts:
        await begun(accounts)
        _, cheap = await key_of(accounts, plan_id=2)
        house.reload(accounts, cheap=PlanOffer(), vip=PlanOffer())
        assert await plan(accounts, cheap) == ("default", 1)
        house.reload(accounts, cheap=PlanOffer(selectable=True), vip=PlanOffer())
        assert await plan(accounts, cheap) == ("cheap", 2)


async def test_a_plan_in_use_is_not_lost_by_a_reload(path: Path) -> None:
    house = House()
    async with opened(path, site=house.site) as accounts:
        await begun(accounts)
        assert accounts.plans.lost(["default"]) is None
        for _ in range(2):
            await key_of(accounts, plan_id=2)
        await accounts.keys.delete(2, 1, ANN)
        why = accounts.plans.lost(["default", "vip", "chaep"])
        assert why is not None and why.startswith("[plan.cheap] is gone, and 0 accounts and 1 key are on it. Bring")
        assert accounts.plans.lost(["default", "cheap"]) is None
        await accounts.managed.change(1, {"plan": "vip"}, ROOT)
        why = accounts.plans.lost(["default", "cheap"])
        assert why is not None and "[plan.vip] is gone, and 1 account and 0 keys are on it" in why


async def test_a_plan_that_is_gone_opens_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The start goes on, says who is on it, and their calls are refused by the gate."""
    house = House()
    async with opened(path, site=house.site) as accounts:
        await begun(accounts)
        id, cheap = await key_of(accounts, plan_id=2)
        _, plain = await key_of(accounts)
        await accounts.managed.change(1, {"plan": "vip"}, ROOT)
        accounts.plans.warn()
        assert not caplog.text
    house.plans = {"default": PlanOffer(), "new": PlanOffer(selectable=True)}
    async with opened(path, site=house.site) as accounts:
        accounts.plans.adopt()
        accounts.plans.warn()
        assert "[plan.cheap] is gone, and 0 accounts and 1 key are on it: their calls are refused" in caplog.text
        assert "[plan.vip] is gone, and 1 account and 1 key are on it" in caplog.text
        assert [await plan(accounts, one) for one in (cheap, plain)] == [("cheap", 2), ("vip", 3)]
        assert accounts.people.self_of(1)["planId"] == 3
        assert accounts.plans.lost(["default"]) is None  # what was gone before keeps nobody from reloading
        house.reload(accounts, new=PlanOffer(selectable=True))
        assert [await plan(accounts, one) for one in (cheap, plain)] == [("cheap", 2), ("vip", 3)]
        # as it is shown it changes nothing; what there is can be chosen
        await accounts.keys.change(id, 1, {"plan_id": 2, "name": "other"}, ANN)
        assert await plan(accounts, cheap) == ("cheap", 2)
        await accounts.keys.change(id, 1, {"plan_id": 4}, ANN)
        assert await plan(accounts, cheap) == ("new", 4)


async def test_a_plan_is_given_up_in_two_steps(path: Path) -> None:
    """First nobody may choose it, then it goes: keys that had chosen it follow their account for good."""
    house = House()
    async with opened(path, site=house.site) as accounts:
        await begun(accounts)
        id, cheap = await key_of(accounts, plan_id=2)
        house.reload(accounts, cheap=PlanOffer())
        assert accounts.plans.lost(["default"]) is None
        house.reload(accounts)
        assert await plan(accounts, cheap) == ("default", 1)
    house.plans = {"default": PlanOffer()}
    async with opened(path, site=house.site) as accounts:
        assert await plan(accounts, cheap) == ("default", 1) and not accounts.directory.keys[id].plan


async def test_accounts_that_are_moved_from_a_plan_that_is_gone_take_their_keys_along(path: Path) -> None:
    house = House()
    async with opened(path, site=house.site) as accounts:
        await begun(accounts)
        await accounts.managed.change(1, {"plan": "vip"}, ROOT)
        _, pinned = await key_of(accounts, plan_id=3)
        _, cheap = await key_of(accounts, plan_id=2)
    house.plans = {"default": PlanOffer(), "gold": PlanOffer()}
    async with opened(path, site=house.site) as accounts:
        accounts.plans.adopt()
        await accounts.managed.change(1, {"plan": "gold"}, ROOT)
        assert await plan(accounts, pinned) == ("gold", 4)
        assert await plan(accounts, cheap) == ("cheap", 2)  # that one was not its account's


async def test_what_is_put_back_as_it_was_read_goes_on_following(path: Path) -> None:
    house = House()
    async with opened(path, site=house.site) as accounts:
        await begun(accounts)
        id, plain = await key_of(accounts)
        await accounts.keys.change(id, 1, {"plan_id": 1, "name": "k"}, ANN)
        await accounts.managed.change(1, {"plan": "vip"}, ROOT)
        assert await plan(accounts, plain) == ("vip", 3)
        await accounts.keys.change(id, 1, {"plan_id": 2}, ANN)
        await accounts.keys.change(id, 1, {"plan_id": 2}, ANN)
        assert await plan(accounts, plain) == ("cheap", 2)
        await accounts.keys.change(id, 1, {"plan_id": None}, ANN)
        assert await plan(accounts, plain) == ("vip", 3)
        with pytest.raises(Forbidden):
            await accounts.managed.change(1, {"plan": "default"}, ROOT)
            await accounts.keys.change(id, 1, {"plan_id": 3}, ANN)


async def test_a_mode_that_is_put_back_as_it_was_read_goes_on_following(path: Path) -> None:
    house = House()
    async with opened(path, metered_plans=("vip",), site=house.site) as accounts:
        await begun(accounts)
        user, change = accounts.directory.users[1], accounts.managed.change
        await change(1, {"name": "Ann", "mode": "prepaid", "plan": "default"}, ROOT)
        assert (user.name, user.mode) == ("Ann", "")
        assert (await change(1, {"plan": "vip"}, ROOT))["mode"] == "metered" and user.mode == ""
        assert (await change(1, {"plan": "default", "mode": "metered"}, ROOT))["mode"] == "metered"  # that was meant
        assert user.mode == "metered"
        assert (await change(1, {"mode": None}, ROOT))["mode"] == "prepaid" and user.mode == ""
        assert (await change(1, {"plan": "vip", "mode": "prepaid"}, ROOT))["mode"] == "prepaid"
        assert user.mode == "prepaid"
        await change(1, {"mode": "prepaid"}, ROOT)
        assert user.mode == "prepaid"
