"""The Chromium that is on this machine, and what to do where there is none."""

import os
import shutil

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""The one without windows first: the whole browser draws its own frame beside each page, which nobody sees."""
PLACES = ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",)
MISSING = (
    "no Chromium: `apt-get install chromium-headless-shell` (scripts/test does that as root on Debian), or set "
    "FTGATE_CHROMIUM to a Chromium or Chrome"
)
ARGUMENTS = (
    # Nothing leaves this machine, whatever a page asks for: no name is looked up. A request is seen all the same.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-dev-shm-usage",  # containers often have 64 MB of it
    "--disable-gpu",
)


def found() -> str | None:
    """Its path; None where there is none."""
    named = os.environ.get("FTGATE_CHROMIUM")
    if named:
        return shutil.which(named)
    return next((path for name in (*NAMES, *PLACES) if (path := shutil.which(name))), None)
