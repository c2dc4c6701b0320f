"""Which transport a channel goes out by: the demo provider answers here, a proxy or HTTP/2 takes the sturdy one, all
others the direct."""

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from ftgate.core.routing import Channel
from ftgate.ports import Answer, Begun, Sending, Upstream, UpstreamRequest
from ftgate.readiness import Readiness
from ftgate.transports.demo import DemoUpstream
from ftgate.transports.direct import DirectUpstream
from ftgate.transports.outgoing import ChannelCounts, ChannelOptions
from ftgate.transports.sturdy import SturdyUpstream


class Transports:
    """ports.Upstream that sends each channel's requests its own way. With `direct` false all go by the sturdy one.
    `readiness`, where there is one, runs as long as it is used."""

    def __init__(self, channels: Sequence[Channel], *, direct: bool, readiness: Readiness | None = None) -> None:
        real = [channel for channel in channels if not channel.built_in]
        straight = [channel for channel in real if direct and not channel.proxy and not channel.http2]
        self.direct = DirectUpstream(_options(straight), readiness=readiness)
        self.sturdy = SturdyUpstream(_options([channel for channel in real if channel not in straight]))
        demo = DemoUpstream()
        self.by_channel: dict[str, Upstream] = {channel.name: demo for channel in channels}
        self.by_channel.update({channel.name: self.direct if channel in straight else self.sturdy for channel in real})

    def open(self, request: UpstreamRequest, sending: Sending | None = None) -> Coroutine[Any, Any, Answer]:
        """As ports.Upstream says; the channel's own coroutine, with none around it."""
        return self.by_channel[request.channel].open(request, sending)

    def begin(self, request: UpstreamRequest, sending: Sending) -> Begun | None:
        """As ports.Upstream says."""
        return self.direct.begin(request, sending) if self.by_channel[request.channel] is self.direct else None

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


def _options(channels: Sequence[Channel]) -> dict[str, ChannelOptions]:
    return {
        channel.name: ChannelOptions(ca_file=channel.ca_file, proxy=channel.proxy, http2=channel.http2)
        for channel in channels
    }
