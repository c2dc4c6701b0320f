"""What pages load beside themselves: the stylesheet, the scripts, the icon. All of it is read at the start, and is
named by its digest, so that browsers may keep it for ever."""

import hashlib
from functools import cache
from importlib.resources import files

from quart import Blueprint, Response

from ftgate.errors import NotFound

TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
KEPT = "public, max-age=31536000, immutable"


class Statics:
    """Files of web/static, by name."""

    def __init__(self) -> None:
        self.found = {
            file.name: file.read_bytes()
            for file in files("ftgate.web").joinpath("static").iterdir()
            if file.name.rpartition(".")[2] in TYPES
        }
        self.digests = {name: hashlib.blake2b(data, digest_size=6).hexdigest() for name, data in self.found.items()}

    def path(self, name: str) -> str:
        """Where a page finds it."""
        return f"/static/{self.digests[name]}/{name}"

    def answer(self, digest: str, name: str) -> Response:
        """Raises NotFound; also for one of another version, which must not be kept as this one."""
        if self.digests.get(name) != digest:
            raise NotFound(f"no file {name[:100]!r} of this version")
        answer = Response(self.found[name], content_type=TYPES[name.rpartition(".")[2]])
        answer.headers["Cache-Control"] = KEPT
        return answer


@cache
def statics() -> Statics:
    """All of them, read once."""
    return Statics()


def add(routes: Blueprint, statics: Statics) -> None:
    @routes.get("/static/<digest>/<name>")
    async def static(digest: str, name: str) -> Response:
        return statics.answer(digest, name)

    @routes.get("/favicon.ico")
    async def favicon() -> Response:
        return statics.answer(statics.digests["favicon.svg"], "favicon.svg")
