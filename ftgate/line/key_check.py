"""Whether a caller's provider key is good: the provider is asked in the way its catalogue file names, at the address
that calls with such a key go to, and nowhere else. No redirect is followed, and nothing of the key is kept.
"""

import msgspec
import trio

from ftgate.core.routing import Candidate
from ftgate.core.secret import Secret
from ftgate.dialects.brought import checked
from ftgate.errors import InvalidRequest, NotAuthenticated, ProviderError, ProviderTimeout, UpstreamFailed
from ftgate.line.upward import Upward
from ftgate.ports import Live, Taker, Upstream, UpstreamRequest

CHECK_S = 15.0
"""Seconds that a provider has to say something."""
REFUSED = (401, 403)


class Asking:
    """ports.site.KeyCheck."""

    def __init__(self, live: Live, upstream: Upstream) -> None:
        self.live = live
        self.upstream = upstream

    async def check(self, provider: str, key: str) -> str:
        """As ports.site.KeyCheck says."""
        brought = checked(provider, key, "api_key")
        takers = self.live.gate.takers
        taker = takers.get(brought.provider)
        if taker is None:
            words = f"`provider` is one of {', '.join(takers)}: these have an address of their own here"
            raise InvalidRequest(words, param="provider")
        name, status = brought.provider, None
        with trio.move_on_after(CHECK_S):
            try:
                answer = await self.upstream.open(_question(taker, brought.secret))
                status = answer.status
                await answer.aclose()
            except UpstreamFailed as failed:
                if failed.timed_out:
                    raise ProviderTimeout(f"{name} was not reached in time: the key was not checked") from None
                raise ProviderError(f"{name} could not be reached: the key was not checked") from None
        if status is None:
            raise ProviderTimeout(f"{name} did not answer in time: whether the key is good is not known")
        if status in REFUSED:
            raise NotAuthenticated(f"{name} refused this key", code="invalid_provider_key", param="api_key")
        if not 200 <= status < 300:
            raise ProviderError(f"{name} answered {status}: whether the key is good is not known")
        return name


def _question(taker: Taker, key: Secret) -> UpstreamRequest:
    """What the provider is asked."""
    channel = taker.channel
    address = next(iter(channel.addresses.values()))
    url, headers = Upward(b"").made(Candidate(channel, address, key, taker.stranger, brought=True), stream=False)
    method, body = b"POST", b""
    if taker.check_url is not None:
        url, method = taker.check_url, b"GET"
    else:
        known = channel.models.get(taker.check_model or "") or next(iter(channel.models.values()), taker.stranger)
        asked = {"model": known.upstream, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
        body = msgspec.json.encode(asked)
    return UpstreamRequest(
        channel.name, url, headers, body, channel.timeouts.connect, channel.reach, brought=True, method=method
    )  # fmt: skip
