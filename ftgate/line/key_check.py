"""Whether a caller's provider key is good: the provider is asked in the way its catalogue file names, at the address
that calls with such a key go to, and nowhere else. No redirect is followed, and nothing of the key is kept.
"""

import msgspec
import trio

from ftgate.core import verdicts
from ftgate.core.routing import Candidate
from ftgate.core.secret import Secret
from ftgate.core.verdicts import Verdict
from ftgate.dialects.brought import Brought, checked
from ftgate.dialects.complaints import answer_object, complaint_in, read_error
from ftgate.dialects.talk import Complaint, NotAnAnswer
from ftgate.errors import InvalidRequest, NotAuthenticated, ProviderError, ProviderTimeout, UpstreamFailed
from ftgate.line.meaning import error_body
from ftgate.line.upward import Upward
from ftgate.ports import Live, Taker, Upstream, UpstreamRequest

CHECK_S = 15.0
"""Seconds that a provider has to say something."""
REFUSED = (401, 403)
"""Statuses that speak of the key, whatever is said with them."""


class Asking:
    """ports.site.KeyCheck."""

    def __init__(self, live: Live, upstream: Upstream) -> None:
        self.live = live
        self.upstream = upstream

    def named(self, provider: str, key: str) -> str:
        """As ports.site.KeyCheck says."""
        return self._taken(provider, key)[0].provider

    def _taken(self, provider: str, key: str) -> tuple[Brought, Taker]:
        """The key, and who takes it. Raises InvalidRequest."""
        brought = checked(provider, key, "api_key")
        takers = self.live.gate.takers
        taker = takers.get(brought.provider)
        if taker is None:
            words = f"`provider` is one of {', '.join(takers)}: these have an address of their own here"
            raise InvalidRequest(words, param="provider")
        return brought, taker

    async def check(self, provider: str, key: str) -> None:
        """As ports.site.KeyCheck says."""
        brought, taker = self._taken(provider, key)
        name, status, found = brought.provider, None, None
        with trio.move_on_after(CHECK_S):
            try:
                answer = await self.upstream.open(_question(taker, brought.secret))
                try:
                    found = _meant(taker, answer.status, await error_body(answer))
                    status = answer.status
                finally:
                    await answer.aclose()
            except UpstreamFailed as failed:
                if failed.timed_out:
                    raise ProviderTimeout(f"{name} was not reached in time: the key was not checked") from None
                raise ProviderError(f"{name} could not be reached: the key was not checked") from None
        if status is None:
            raise ProviderTimeout(f"{name} did not answer in time: whether the key is good is not known")
        if found is Verdict.credential:
            raise NotAuthenticated(f"{name} refused this key", code="invalid_provider_key", param="api_key")
        if found is not None:
            said = f"{status} with an error" if status < 300 else f"{status}"
            raise ProviderError(f"{name} answered {said}: whether the key is good is not known")


def _meant(taker: Taker, status: int, body: bytes) -> Verdict | None:
    """What an answer says of the key; None where it is good. A refusal need not be a 401: Gemini says it with a 400,
    MiniMax with a 200."""
    if status in REFUSED:
        return Verdict.credential
    complaint: Complaint | None = read_error(body)
    if 200 <= status < 300:
        try:
            complaint = complaint_in(answer_object(body))
        except NotAnAnswer:  # or more of it than was read
            complaint = None
    if complaint is None:
        return None
    found = verdicts.meant(taker.channel.errors, complaint.code, complaint.kind)
    return found or verdicts.verdict(complaint.status or status, complaint.words)


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
