"""Pages that do everything wrong, each one thing: what shows that the watch and the looks can fail."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

POLICY = "default-src 'self'; script-src 'self'; style-src 'self'"
GOOD = """<!doctype html><html lang="en"><head><title>Good</title><meta name="viewport" content="width=device-width">
<link rel="stylesheet" href="/good.css"></head><body><header><nav aria-label="main"><a href="/">Home</a></nav></header>
<main><h1>Good</h1>%s</main></body></html>"""
STYLE = "body { color: #000; background: #fff } :focus-visible { outline: 2px solid #00f }"


def page(body: str) -> str:
    return GOOD % body


WRONG = {
    "/host": page('<img src="http://other.example/x.png" alt="">'),
    "/inline": page("<script>window.ran = 1</script>"),
    "/styled": page('<p style="color: red">red</p>'),
    "/console": page('<script src="/say.js"></script>'),
    "/throws": page('<script src="/throw.js"></script>'),
    "/rejects": page('<script src="/reject.js"></script>'),
    "/alerts": page('<script src="/alert.js"></script>'),
    "/lost": page('<script src="/nowhere.js"></script>'),
    "/broken": page(""),
}
FILES = {
    "/good.css": STYLE, "/say.js": "console.error('said')", "/throw.js": "throw new Error('thrown')",
    "/reject.js": "Promise.reject(new Error('rejected'))", "/alert.js": "alert('ran')",
}  # fmt: skip
PAGES = {
    "/": page('<button type="button">Press</button> <input aria-label="Word"> <a href="/broken">Broken</a>'),
    "/hidden": page('<button type="button" tabindex="3">late</button><a href="/">early</a>'),
    "/unseen": page('<link rel="stylesheet" href="/unseen.css"><button type="button">Press</button>'),
    "/unlabelled": page('<input name="word">'),
    "/headless": "<!doctype html><html><body><p>bare</p></body></html>",
    "/wide": page('<link rel="stylesheet" href="/wide.css"><p id="wide">wide</p>'),
    "/heavy": page("<p>" + "heavy " * 20_000 + "</p>"),
    "/dialogs": page(
        '<dialog id="good" aria-label="Good"><button>Close</button></dialog>'
        '<dialog id="stays" aria-label="Stays"><button>Close</button></dialog>'
        '<dialog id="mute" aria-label="Mute"><input></dialog><script src="/stays.js"></script>'
    ),
    **WRONG,
}
FILES |= {
    "/unseen.css": ":focus-visible { outline: none }", "/wide.css": "#wide { width: 3000px }",
    "/stays.js": "document.getElementById('stays').addEventListener('cancel', (event) => event.preventDefault());"
    " document.getElementById('stays').addEventListener('keydown', (event) => event.preventDefault());",
}  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        kind = {"s": "text/javascript", "css": "text/css"}.get(path.rpartition(".")[2][-3:].lstrip("j"), "text/html")
        said = {**PAGES, **FILES}.get(path)
        self.send_response(500 if path == "/broken" else 404 if said is None else 200)
        self.send_header("Content-Type", kind)
        if path != "/host":  # it would be stopped before it asks
            self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write((said or "").encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def served() -> Iterator[str]:
    """Where they are."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
