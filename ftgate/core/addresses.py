"""Whose address a request came from, and whether it is among those that may. Pure.

The peer's own address counts. Behind proxies that the operator trusts, what they say in X-Forwarded-For counts, read
from its end: the last address that is not itself a trusted proxy's. Anybody can write that header, so nobody else's
changes anything.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def parse(text: str) -> Address | None:
    """An address as headers and sockets write it: with a port or a zone perhaps, in brackets perhaps; an IPv4 address
    inside an IPv6 one is that. None where it is none."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_NEAR = ("localhost", "local", "lan", "home", "internal", "home.arpa")


def near(host: str) -> str | None:
    """A host as it stands in a URL, where nobody outside can have given it its meaning: a number, a name without a dot,
    or one of those that only a machine or its own network gives (RFC 6762, RFC 8375, ICANN's .internal). None for all
    other names, which anybody can make lead here, and for what is no host."""
    number = parse(f"[{host}]") if ":" in host else parse(host)
    if number is not None:
        return str(number) if number.version == 4 else f"[{number}]"
    host = host.lower()
    if len(host) > 253 or _NAME.fullmatch(host) is None:
        return None
    return host if "." not in host or host.endswith(tuple(f".{end}" for end in _NEAR)) else None


@lru_cache(maxsize=256)
def networks(names: tuple[str, ...]) -> tuple[Network, ...]:
    """Addresses and networks as the config or a caller wrote them; IPv4 ones inside IPv6 are those, as addresses are.
    Raises ValueError for one that is none."""
    return tuple(_plain(ip_network(name.strip(), strict=False)) for name in names)


def _plain(found: Network) -> Network:
    inside = found.network_address.ipv4_mapped if isinstance(found, IPv6Network) else None
    return found if inside is None or found.prefixlen < 96 else IPv4Network((inside, found.prefixlen - 96))


def within(address: Address | None, names: tuple[str, ...]) -> bool:
    """Whether an address stands in one of these networks."""
    return address is not None and any(
        address.version == network.version and address in network for network in networks(names)
    )


def client_address(peer: str, forwarded: Iterable[str], trusted: tuple[str, ...]) -> str:
    """The client's address; as it was given where it is none. `forwarded` are the values of X-Forwarded-For in the
    order in which they came."""
    client = parse(peer)
    if client is None:
        return peer
    if trusted and within(client, trusted):
        named = [part for value in forwarded for part in value.split(",")]
        for part in reversed(named):
            found = parse(part)
            if found is None:  # what stands further left was written by nobody who is known
                break
            client = found
            if not within(found, trusted):
                break
    return str(client)
