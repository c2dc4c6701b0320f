"""An OpenTelemetry collector that keeps what it is sent, behind a real HTTP server on 127.0.0.1.

    with FakeCollector() as collector:       # [telemetry] otlp_endpoint = collector.url
        …
        collector.spans(), collector.metrics()

`says` are the answers to the next requests: a status and heads each; then 200. With `hangs` set none is given at all.
It serves from the first time that its `url` is asked for.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Json = dict[str, Any]


class FakeCollector:
    def __init__(self, *, hangs: bool = False) -> None:
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.says: list[tuple[int, dict[str, str]]] = []
        self.hangs = hangs
        self.over = threading.Event()
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        if self._server is None:
            self._server = _Server(("127.0.0.1", 0), _handler(self))
            serve = self._server.serve_forever
            self._thread = threading.Thread(target=serve, kwargs={"poll_interval": 0.02}, daemon=True)
            self._thread.start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "FakeCollector":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def _bodies(self, path: str) -> list[Json]:
        return [json.loads(body) for at, _, body in self.seen if at == path]

    def spans(self) -> list[Json]:
        """Of all requests, with plain attributes."""
        found = [
            span
            for body in self._bodies("/v1/traces")
            for of_resource in body["resourceSpans"]
            for of_scope in of_resource["scopeSpans"]
            for span in of_scope["spans"]
        ]
        return [{**span, "attributes": plain(span["attributes"])} for span in found]

    def metrics(self) -> dict[str, list[Json]]:
        """The points of each metric, of the last request, with plain attributes."""
        bodies = self._bodies("/v1/metrics")
        if not bodies:
            return {}
        (of_resource,) = bodies[-1]["resourceMetrics"]
        return {
            metric["name"]: [
                {**point, "attributes": plain(point["attributes"])} for point in metric["histogram"]["dataPoints"]
            ]
            for metric in of_resource["scopeMetrics"][0]["metrics"]
        }


def plain(attributes: list[Json]) -> Json:
    """Attributes as a dict."""
    read = {"stringValue": str, "intValue": int, "boolValue": bool, "doubleValue": float}
    return {one["key"]: read[kind](value) for one in attributes for kind, value in one["value"].items()}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


def _handler(fake: FakeCollector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fake.seen.append((self.path, dict(self.headers.items()), body))
            if fake.hangs:
                fake.over.wait()
                return
            status, heads = fake.says.pop(0) if fake.says else (200, {})
            self.send_response(status)
            for name, value in {**heads, "Content-Type": "application/json", "Content-Length": "2"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *arguments: object) -> None:
            """It says nothing."""

    return Handler
