"""Which transport a channel goes out by: the demo provider answers here, a proxy or HTTP/2 takes the sturdy one, all
others the direct."""

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from ftgate.core.routing import Channel, Reach
from ftgate.ports import Answer, Begun, Sending, Upstream, UpstreamRequest
from ftgate.readiness import Readiness
from ftgate.transports.demo import DemoUpstream
from ftgate.transports.direct import DirectUpstream
from ftgate.transports.outgoing import ChannelCounts
from ftgate.transports.sturdy import SturdyUpstream


class Transports:
    """ports.Upstream that sends each request the way its channel is reached. With `direct` false all go by the sturdy
    one. `readiness`, where there is one, runs as long as it is used."""

    def __init__(self, *, direct: bool, readiness: Readiness | None = None) -> None:
        self.goes_direct = direct
        self.direct = DirectUpstream(readiness=readiness)
        self.sturdy = SturdyUpstream()
        self.demo = DemoUpstream()

    def for_reach(self, reach: Reach) -> Upstream:
        """What a request goes out by."""
        if reach.built_in:
            return self.demo
        return self.direct if self.goes_direct and reach.straight else self.sturdy

    def open(self, request: UpstreamRequest, sending: Sending | None = None) -> Coroutine[Any, Any, Answer]:
        """As ports.Upstream says; the way's own coroutine, with none around it."""
        return self.for_reach(request.reach).open(request, sending)

    def begin(self, request: UpstreamRequest, sending: Sending, now: float) -> Begun | None:
        """As ports.Upstream says."""
        if self.goes_direct and request.reach.straight:
            return self.direct.begin(request, sending, now)
        return None

    def adopt(self, channels: Sequence[Channel]) -> None:
        """From now on there are these channels. Those that are reached as before keep their connections."""
        straight = {one.name: one.reach for one in channels if self.goes_direct and one.reach.straight}
        self.direct.adopt(straight)
        self.sturdy.adopt({channel.name: channel.reach for channel in channels if channel.name not in straight})

    def close_idle(self) -> None:
        """Close the connections that have been idle for too long."""
        self.direct.close_idle()
        self.sturdy.close_idle()

    def counts(self) -> Mapping[str, ChannelCounts]:
        """Per channel that was used since the start: calls at work, calls that wait for a place, kept connections."""
        return {**self.direct.counts(), **self.sturdy.counts()}

    async def aclose_all(self) -> None:
        """Close every kept connection now, and those in use when their answers are closed."""
        await self.direct.aclose_all()
        await self.sturdy.aclose_all()
