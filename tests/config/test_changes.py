"""What is different between two configs, by the names in the file; every setting shows when it is another."""

from pathlib import Path

import pytest

from ftgate.config import changed, needing_restart
from tests.config.reading import CHANNEL, load

BEFORE = CHANNEL + '[alias]\nx = "m"\n[fallback]\nm = ["x"]\n[plan.gold]\nconcurrent = 1\n[auto]\nsimple = ["m"]\n'
CHANGES = [
    # what stands there, what in its place, what that changes, what waits for a restart
    ("input = 1", "input = 2", ["channel.lab"], []),
    ("env:LAB_KEY", "env:OTHER_KEY", ["channel.lab"], []),
    ("[channel.models", "monthly_cap = 5\n[channel.models", ["channel.lab"], []),
    ("[channel.models", "proxy = 'http://p:1'\n[channel.models", ["channel.lab"], []),
    ('"lab"', '"la.b"', ["channel.lab", 'channel."la.b"', "channel"], []),
    ('x = "m"', 'y = "m"', ["alias.y", "alias.x"], []),
    ('m = ["x"]', 'm = ["y"]', ["fallback.m"], []),
    ('simple = ["m"]', 'medium = ["m"]', ["auto.medium", "auto.simple"], []),
    ("concurrent = 1", "concurrent = 2", ["plan.gold"], []),
    ("[plan.gold]", "[limits]\nconcurrent = 4\n[plan.gold]", ["limits.concurrent"], []),
    ("[plan.gold]", "[limits.account]\nconcurrent = 4\n[plan.gold]", ["limits.account.concurrent"], []),
    ("[plan.gold]", "[limits.model.x]\nconcurrent = 4\n[plan.gold]", ["limits.model.m"], []),
    ("[plan.gold]", "[provider.deepseek]\nbase_url = 'http://h/v1'\n[plan.gold]", ["provider.deepseek"], []),
    ("[plan.gold]", "[retry]\nattempts = 9\n[breaker]\nwindow = 9\n[plan.gold]",
     ["retry.attempts", "breaker.window"], []),
    ("[plan.gold]", "[server]\nkeepalive = 3\ncors = false\n[plan.gold]", ["server.cors", "server.keepalive"], []),
    ("[plan.gold]", "[server]\nport = 1\nhost = '::1'\n[plan.gold]", [], ["server.host", "server.port"]),
    ("[plan.gold]", "[server]\nfast_door = false\ndirect_transport = false\n[plan.gold]", [],
     ["server.fast_door", "server.direct_transport"]),
    ("[plan.gold]", "[database]\ndurability = 'process'\n[plan.gold]", [], ["database.durability"]),
    ("[plan.gold]", "[billing]\nmode = 'metered'\n[plan.gold]", ["billing.mode"], []),
]  # fmt: skip


@pytest.mark.parametrize(("this", "that", "now", "later"), CHANGES)
def test_what_is_another(this: str, that: str, now: list[str], later: list[str]) -> None:
    assert BEFORE.count(this) >= 1
    old, new = load(BEFORE), load(BEFORE.replace(this, that, 1))
    assert sorted(changed(old, new)) == sorted(now) and needing_restart(old, new) == later
    assert sorted(changed(new, old)) == sorted(now) and needing_restart(new, old) == later
    assert not changed(new, load(BEFORE.replace(this, that, 1)))  # by content: another reading is no other config


def test_a_time_limit_for_all_shows_at_each_channel() -> None:
    new = load("[timeouts]\nidle = 5\n" + BEFORE)
    assert changed(load(BEFORE), new) == ["timeouts.idle", "channel.lab"]


def test_a_pasted_key_is_not_told() -> None:
    new = load(BEFORE.replace('x = "m"', 'x = "m"\n"sk-pasted-0123456789" = "m"'))
    assert not any("pasted" in name for name in changed(load(BEFORE), new))


def test_certificates(tmp_path: Path) -> None:
    import trustme

    def written() -> str:
        made = trustme.CA().issue_cert("localhost")
        made.private_key_pem.write_to_path(tmp_path / "key.pem")
        made.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
        return f"[server]\ntls_cert = '{tmp_path / 'cert.pem'}'\ntls_key = '{tmp_path / 'key.pem'}'\n" + BEFORE

    first, second, plain = load(written()), load(written()), load(BEFORE)
    assert (changed(first, second), needing_restart(first, second)) == (["server.tls_cert"], [])
    for old, new in ((plain, first), (first, plain)):
        assert (changed(old, new), needing_restart(old, new)) == ([], ["server.tls_cert", "server.tls_key"])
