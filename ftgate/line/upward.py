"""A call as it goes up to a candidate: the address, the headers, the body. Whatever is always the same for a candidate
is made once.
"""

from urllib.parse import quote, urlencode

from ftgate import dialects
from ftgate.core import hops
from ftgate.core.habits import beside
from ftgate.core.routing import Candidate, Channel
from ftgate.dialects.asked import SELDOM_TAKEN
from ftgate.dialects.counts import Counting
from ftgate.dialects.talk import Aim
from ftgate.line.call import Exchange, Tried
from ftgate.line.charge import prompt_of
from ftgate.line.translation import asked_in, maker_of
from ftgate.ports import HOPS, Headers, UpstreamRequest

MADE_KEPT = 1000
"""Candidates whose headers are kept made."""


class Upward:
    """Makes the requests to upstreams. Built once by the gate; `gateway` is our id among gateways (core.hops)."""

    def __init__(self, gateway: bytes) -> None:
        self.gateway = gateway
        self._made: dict[tuple[int, int, bool], tuple[object, object, str, tuple[tuple[bytes, bytes], ...]]] = {}

    def forget(self) -> None:
        """The settings have changed: what was made for candidates that may be gone is not kept, keys least of all."""
        self._made.clear()

    def request(self, x: Exchange, tried: Tried) -> UpstreamRequest:
        """What is asked in this attempt. Raises InvalidRequest where its dialect cannot say it."""
        candidate, cap = tried.candidate, tried.cap
        channel = candidate.channel
        most = None if cap is not None else candidate.model.output_limit(prompt_of(x, candidate.model).longest.bound)
        address, model = candidate.address, candidate.model
        dialect = address.dialect
        own = dialect == x.call.dialect.NAME
        maker = "" if own else maker_of(address)
        drop = channel.drop_params if own else _dropped(channel)
        if model.drop:
            drop = (*drop, *model.drop)
        aim = Aim(
            model.upstream, cap, candidate.cap_field, channel.stream_usage, drop, most, maker, model.thinks, tried.bare,
            beside(address.habits, model.quirks) if model.quirks else address.habits, model.thinking,
        )  # fmt: skip
        body = dialects.ALL[dialect].render(x.ask if own else asked_in(x, dialect), aim)
        url, headers = self._constant(candidate, stream=x.ask.stream)
        if x.call.forwarded or x.call.hops:
            headers = self._headers(x, dialect, headers)
        return UpstreamRequest(
            channel.name, url, headers, body, channel.timeouts.connect, channel.reach, candidate.brought
        )

    def counting(self, x: Exchange, candidate: Candidate, counting: Counting) -> UpstreamRequest:
        """The same to be counted, where this candidate's dialect has a count. Raises as request()."""
        channel, dialect = candidate.channel, candidate.address.dialect
        aim = Aim(
            candidate.model.upstream, drop=(*channel.drop_params, *candidate.model.drop),
            habits=beside(candidate.address.habits, candidate.model.quirks),
        )  # fmt: skip
        body = counting.asked(dialects.ALL[dialect].render(asked_in(x, dialect), aim))
        url, headers = self._constant(candidate, stream=False)
        where, mark, query = url.partition("?")
        return UpstreamRequest(
            channel.name, where + counting.path + mark + query, self._headers(x, dialect, headers), body,
            channel.timeouts.connect, channel.reach, candidate.brought,
        )  # fmt: skip

    def _headers(
        self, x: Exchange, dialect: str, headers: tuple[tuple[bytes, bytes], ...]
    ) -> tuple[tuple[bytes, bytes], ...]:
        """With those of the call itself; the same object where it has none."""
        if x.call.forwarded and dialect == x.call.dialect.NAME:
            own = dict(x.call.forwarded)
            headers = (*(header for header in headers if header[0] not in own), *x.call.forwarded)
        if x.call.hops:
            onward = HOPS, hops.onward(x.call.hops, self.gateway)
            headers = (*(header for header in headers if header[0] != HOPS), onward)
        return headers

    def _constant(self, candidate: Candidate, *, stream: bool) -> tuple[str, tuple[tuple[bytes, bytes], ...]]:
        """The address and the headers of a request to this candidate, which are always the same: made once for each,
        but for one with a key of its caller's own, of which nothing is kept."""
        if candidate.brought:
            return self.made(candidate, stream=stream)
        address, credential = candidate.address, candidate.credential
        place = id(address), id(credential), stream
        known = self._made.get(place)
        if known is not None:
            return known[2], known[3]
        url, headers = self.made(candidate, stream=stream)
        if len(self._made) > MADE_KEPT:
            self._made.clear()
        self._made[place] = address, credential, url, headers  # both are kept, so that their ids stay theirs
        return url, headers

    def made(self, candidate: Candidate, *, stream: bool) -> tuple[str, tuple[tuple[bytes, bytes], ...]]:
        """The same, kept nowhere. What is in the query may be secret: it is not in the channel's own address."""
        channel, address = candidate.channel, candidate.address
        accept = b"text/event-stream" if stream else b"application/json"
        headers: Headers = [(b"content-type", b"application/json"), (b"accept", accept), (b"user-agent", b"ftgate")]
        headers += dialects.ALL[address.dialect].HEADERS
        if self.gateway:
            headers.append((HOPS, self.gateway))
        secret = candidate.credential.reveal()
        if secret and address.auth == "x-api-key":
            headers.append((b"x-api-key", secret.encode()))
        elif secret:
            headers.append((b"authorization", b"Bearer " + secret.encode()))
        own = [(name.lower().encode(), value.encode()) for name, value in channel.headers.items()]
        headers = [
            header for header in headers if header[0] not in dict(own)
        ] + own  # what the operator configured replaces ours
        url = f"{address.url}?{urlencode(channel.query, quote_via=quote)}" if channel.query else address.url
        return url, tuple(headers)


def _dropped(channel: Channel) -> tuple[str, ...]:
    """Fields that a translated request does not hold at this channel."""
    return (*channel.drop_params, *(name for name in SELDOM_TAKEN if name not in channel.takes))
