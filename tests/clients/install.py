"""The pinned packages, installed once for each set of pins into a cache of the user's, outside of this repository."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PINS = HERE / "package.json"
STEPS = {"@anthropic-ai/claude-code": "install.cjs", "opencode-ai": "postinstall.mjs"}
"""Packages whose own step after an install puts their program in place. No other package's steps run."""
INSTALL_S = 600.0


def installed() -> Path:
    """The directory whose node_modules holds the pinned packages; CalledProcessError where npm cannot install them."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ftgate-clients"
    place = cache / hashlib.sha256(PINS.read_bytes()).hexdigest()[:16]
    if place.is_dir():
        return place
    cache.mkdir(parents=True, exist_ok=True)
    print(f"installing the pinned clients from npm into {place}", flush=True)
    with tempfile.TemporaryDirectory(dir=cache) as base:
        made = Path(base) / "made"
        made.mkdir()
        shutil.copy(PINS, made)
        quiet = ["--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(["npm", "install", *quiet], cwd=made, check=True, timeout=INSTALL_S, stdout=subprocess.DEVNULL)
        for package, step in STEPS.items():
            at = made / "node_modules" / package
            subprocess.run(["node", step], cwd=at, check=True, timeout=INSTALL_S, stdout=subprocess.DEVNULL)
        made.rename(place)  # whole, or not there
    return place
