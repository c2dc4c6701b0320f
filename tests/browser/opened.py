"""A browser's context as everything here uses it: watched from its first request."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize

from tests.browser.dashboard import Session
from tests.browser.watch import Watch

PATIENCE_S = 20.0
"""For a page to do what it should: a browser on a busy machine takes seconds for what is done at once elsewhere."""


@contextmanager
def opened(
    browser: Browser, watch: Watch, session: Session | None = None, *, javascript: bool = True, width: int = 1440,
    dark: bool = False, **more: Any,
) -> Iterator[BrowserContext]:  # fmt: skip
    """A context that is watched, and shows this session."""
    context = browser.new_context(
        base_url=watch.origin, java_script_enabled=javascript, viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light", **more,
    )  # fmt: skip
    context.set_default_timeout(PATIENCE_S * 1000)
    if session is not None:
        context.add_cookies([{"name": session.cookie, "value": session.value, "url": watch.origin}])
    watch.follow(context)
    yield context
    context.close()


def shape(page: Page, size: ViewportSize, *, dark: bool) -> None:
    """Another window and other colours, at once: without the ways between two colours."""
    page.set_viewport_size(size)
    page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")
