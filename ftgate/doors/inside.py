"""The door for calls that our own pages make, for an account that has signed in. They go the way of all calls, by a key
that the account has for them."""

from ftgate.doors import http
from ftgate.doors.asgi import AsgiClient
from ftgate.doors.intake import Intake, Room
from ftgate.errors import GateError
from ftgate.line.call import Call
from ftgate.ports import Headers
from ftgate.ports.site import Doer, OwnKeys, Send

ROUTE = "/v1/chat/completions"
EXTRA: Headers = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]


class InsideDoor:
    """ports.site.PageCalls."""

    def __init__(self, intake: Intake, keys: OwnKeys) -> None:
        self.intake = intake
        self.keys = keys

    async def begin(self, account: int, body: bytes, *, id: str, by: Doer) -> "InsideCall":
        """As ports.site.PageCalls says."""
        key = await self.keys.playground(account, by)
        http.check_address(key, by.address)
        call = Call(id=id, dialect=http.CALLS[ROUTE], secret=None, body=body, key=key, route=ROUTE)
        return InsideCall(self.intake, call)


class InsideCall:
    """ports.site.PageCall."""

    def __init__(self, intake: Intake, call: Call) -> None:
        self.intake = intake
        self.call = call

    def client_gone(self) -> None:
        """As ports.site.PageCall says."""
        self.call.client_gone()

    async def to(self, send: Send) -> None:
        """As ports.site.PageCall says."""
        await self._walk(AsgiClient(send, EXTRA))

    async def whole(self) -> tuple[int, Headers, bytes]:
        """As ports.site.PageCall says."""
        kept = _Kept()
        await self._walk(kept)
        return kept.status, kept.headers, bytes(kept.body)

    async def _walk(self, client: "AsgiClient | _Kept") -> None:
        call, room = self.call, Room(self.intake)
        try:
            try:
                room.take(len(call.body))
            except GateError as refused:
                await client.answer(*call.dialect.error(refused, call.id))
            else:
                await self.intake.walk(call, client)
        finally:
            room.free()


class _Kept:
    """ports.Client that keeps what it gets."""

    immediate = False

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self.body = bytearray()

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        await self.start(status, headers)
        self.body += body

    async def start(self, status: int, headers: Headers) -> None:
        self.status, self.headers = status, headers

    def send_now(self, data: bytes) -> bool:
        """Never asked for: it is not immediate."""
        raise AssertionError("what is kept is sent nowhere")

    async def send(self, data: bytes) -> None:
        self.body += data

    async def end(self, data: bytes = b"") -> None:
        self.body += data
