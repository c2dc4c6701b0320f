"""What holds for every test: one that leaves a socket, a file or a task behind fails itself.

A socket that nobody closed is told of when the collector finds it, which may be many tests later: that test would fail
for it, another one in each run. So the collector looks at the end of every test that has opened something or run a
loop; what it finds there, with `filterwarnings = error`, is that test's own error. What a look has found in use is
frozen, and looked at again at the very end only: a look costs a millisecond then, however much a long run remembers.
"""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hashing import cheapen
from tests.postgres import postgres, stop

__all__ = ["postgres"]

cheapen()
# No test speaks to anybody but this machine, so nobody outside is trusted: reading the system's list of authorities for
# each new transport would take a tenth of the suite's time. Processes that a test starts inherit it.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).with_name("nobody.pem"))
os.environ["SSL_CERT_DIR"] = os.devnull
OPEN_FILES = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"


BROWSER = "tests/browser/"
"""These stay in one process: each process that runs some has a Chromium and a dashboard of its own."""
LONG = (BROWSER, "tests/walk/")
"""What takes longest in one process."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes share the work, what takes long comes first, so that none has much left at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: (not item.nodeid.startswith(LONG), item.get_closest_marker("slow") is None))


@pytest.hookimpl(optionalhook=True)  # scripts/plants runs without the plugin
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file stays in one process, since its tests share a gateway."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return BROWSER if nodeid.startswith(BROWSER) else nodeid.partition("::")[0]

    return ByFile(config, log)


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()


def open_files() -> set[tuple[str, str]]:
    """What this process has open: (number, what it is)."""
    found = set()
    for number in os.listdir(OPEN_FILES):
        try:
            found.add((number, os.readlink(f"{OPEN_FILES}/{number}")))
        except OSError:  # the listing's own, or another thread has just closed it
            continue
    return found


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    before = open_files()
    yield
    if open_files() - before or request.node.get_closest_marker("trio") is not None:
        gc.collect()
        gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    gc.unfreeze()
    if not hasattr(session.config, "workerinput"):
        stop(session.config._tmp_path_factory.getbasetemp())  # type: ignore[attr-defined]
