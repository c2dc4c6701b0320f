"""Whose address counts: the peer's, or what trusted proxies say of it."""

import pytest

from ftgate.core.addresses import client_address, near, parse, within

PROXIES = ("10.0.0.0/8", "fd00::/8")


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "client"),
    [
        ("1.2.3.4", [], (), "1.2.3.4"),
        ("1.2.3.4", ["9.9.9.9"], (), "1.2.3.4"),  # anybody can write the header
        ("1.2.3.4", ["9.9.9.9"], PROXIES, "1.2.3.4"),
        ("10.0.0.1", ["9.9.9.9"], PROXIES, "9.9.9.9"),
        ("10.0.0.1", ["6.6.6.6, 9.9.9.9"], PROXIES, "9.9.9.9"),  # the first was sent by the client itself
        ("10.0.0.1", ["6.6.6.6, 9.9.9.9, 10.1.1.1"], PROXIES, "9.9.9.9"),
        ("10.0.0.1", ["6.6.6.6", "9.9.9.9"], PROXIES, "9.9.9.9"),  # the header twice
        ("10.0.0.1", ["6.6.6.6, junk"], PROXIES, "10.0.0.1"),
        ("10.0.0.1", ["junk, 10.0.0.7"], PROXIES, "10.0.0.7"),
        ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], PROXIES, "10.0.0.2"),  # only proxies: the one the farthest out
        ("10.0.0.1", [""], PROXIES, "10.0.0.1"),
        ("10.0.0.1", ["9.9.9.9:4711"], PROXIES, "9.9.9.9"),
        ("fd00::1", ["[2001:db8::5]:4711"], PROXIES, "2001:db8::5"),
        ("::ffff:10.0.0.1", ["2001:DB8::5"], PROXIES, "2001:db8::5"),
        ("", ["9.9.9.9"], PROXIES, ""),
        ("10.0.0.1", ["9.9.9.9"], ("::ffff:10.0.0.1",), "9.9.9.9"),
    ],
)
def test_client_address(peer, forwarded, trusted, client):
    assert client_address(peer, forwarded, trusted) == client


@pytest.mark.parametrize(
    ("address", "names", "lets"),
    [
        ("1.2.3.4", ("1.2.3.4",), True),
        ("1.2.3.5", ("1.2.3.4",), False),
        ("1.2.3.5", ("1.2.3.4/31", "1.2.3.0/24"), True),
        ("::ffff:1.2.3.4", ("1.2.3.4",), True),
        ("2001:db8::1", ("1.2.3.4", "2001:db8::/32"), True),
        ("fe80::1%eth0", ("fe80::/10",), True),
        ("", ("0.0.0.0/0",), False),
        ("1.2.3.4", ("::ffff:1.2.3.4",), True),
        ("::ffff:1.2.3.4", ("::ffff:1.2.3.4/128",), True),
        ("1.2.3.5", ("::ffff:1.2.3.4",), False),
        ("1.2.3.5", ("::ffff:1.2.3.0/120",), True),
        ("1.2.4.5", ("::ffff:1.2.3.0/120",), False),
        ("9.9.9.9", ("::ffff:0:0/96",), True),
        ("2001:db8::1", ("::ffff:0:0/96",), False),
        ("2001:db8::1", ("::/0",), True),
        ("9.9.9.9", ("::/0",), False),
    ],
)
def test_within(address, names, lets):
    assert within(parse(address), names) is lets


@pytest.mark.parametrize(
    ("host", "is_near"),
    [
        ("127.0.0.1", "127.0.0.1"), ("192.168.1.5", "192.168.1.5"), ("8.8.8.8", "8.8.8.8"), ("::1", "[::1]"),
        ("2001:DB8::5", "[2001:db8::5]"), ("fe80::1%25eth0$(x)", "[fe80::1]"), ("localhost", "localhost"),
        ("NAS", "nas"), ("nas.local", "nas.local"), ("pi.lan", "pi.lan"), ("a.b.home.arpa", "a.b.home.arpa"),
        ("gate.internal", "gate.internal"), ("evil.example", None), ("127.0.0.1.nip.io", None), ("local", "local"),
        ("evil.example.local.com", None), ("notlocal.xlocal", None), ("localhost.", None), ("", None), (".local", None),
        ("a b", None), ("x;rm -rf ~", None), ("a'.local", None), ("$(x).local", None), ("ü.local", None),
        ("x" * 254, None), ("1.2.3.4:5", None),
    ],
)  # fmt: skip
def test_near(host, is_near):
    assert near(host) == is_near
