"""Looks over a browser's shoulder: what no page may ever do is written down, whichever test happens to visit it.

    watch = Watch("http://127.0.0.1:8400")
    watch.follow(context)                 # before its first page
    …                                     # pages are visited, clicked, filled in
    watch.check()                         # AssertionError with all that was wrong

Wrong is: a request to another host than the gateway's; anything that the Content-Security-Policy had to stop; an
error in the console; an exception that nobody caught; an alert, a confirm or a prompt; a tab that crashed; an answer of
500 or more; and one of 400 or more that the test did not expect:

    watch.may(404, 422)                   # answers that the test asks for on purpose

What is planted to be run where it must not be need only call `alert()`: that is wrong on every page.
"""

from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Page, Request, Response, WebError

VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`${event.violatedDirective} stopped ${event.blockedURI} ${event.sample}`);
});
"""
"""Chromium tells most of them in the console by itself; not all, and not in the same words."""
FAILED_LOAD = "Failed to load resource"
"""How the console tells of an answer that is an error; the answer itself is looked at."""
OF_THE_PAGE = {"data", "blob", "about"}
"""Schemes that ask nobody."""


class Watch:
    """What went wrong in the contexts that it follows. `origin` is where every request has to go."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.wrong: list[str] = []
        self.asked: list[str] = []
        """Every request, as METHOD URL, oldest first."""
        self._expected: set[int] = set()
        self._hosts: set[str] = set()

    def may(self, *statuses: int, hosts: tuple[str, ...] = ()) -> None:
        """Answers that are no fault in this test, and origins that it leaves for."""
        self._expected |= set(statuses)
        self._hosts |= set(hosts)

    def follow(self, context: BrowserContext) -> None:
        context.add_init_script(VIOLATIONS)
        context.on("request", self._request)
        context.on("response", self._response)
        context.on("console", self._console)
        context.on("weberror", self._error)
        context.on("page", self._page)

    def check(self) -> None:
        """Raises AssertionError with everything that was wrong, and forgets it."""
        wrong, self.wrong = self.wrong, []
        assert wrong == [], "\n".join(wrong)

    def _request(self, request: Request) -> None:
        self.asked.append(f"{request.method} {request.url}")
        url = urlsplit(request.url)
        at = f"{url.scheme}://{url.netloc}"
        if url.scheme not in OF_THE_PAGE and at != self.origin and at not in self._hosts:
            self.wrong.append(f"a request to another host: {request.method} {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self._expected:
            self.wrong.append(f"answered {response.status}: {response.request.method} {response.url}")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(FAILED_LOAD):
            page = message.page.url if message.page else "?"
            self.wrong.append(f"error in the console of {page}: {message.text}")

    def _error(self, error: WebError) -> None:
        self.wrong.append(f"nobody caught, on {error.page.url if error.page else '?'}: {error.error}")

    def _page(self, page: Page) -> None:
        page.on("dialog", self._dialog)
        page.on("crash", lambda crashed: self.wrong.append(f"crashed: {crashed.url}"))

    def _dialog(self, dialog: Dialog) -> None:
        where = dialog.page.url if dialog.page else "?"
        self.wrong.append(f"{dialog.type} on {where}: {dialog.message}")
        dialog.dismiss()
