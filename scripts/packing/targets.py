"""The platforms and Pythons that the one file serves."""

import os
import sys
from dataclasses import dataclass

PYTHONS = ("3.11", "3.12", "3.13", "3.14")


@dataclass(frozen=True)
class Target:
    name: str
    """As the entry names the Python that runs it: cpython-313-x86_64-linux-gnu, cpython-313-darwin-arm64."""
    python: str
    """3.13"""
    suffix: str
    """How its extension modules end."""
    tags: tuple[str, ...]
    """The platform tags of wheels that serve, the best first."""

    @property
    def abi(self) -> str:
        return "cp" + self.python.replace(".", "")

    @property
    def processor(self) -> str:
        """x86_64, aarch64 or arm64."""
        return self.name.split("-")[3 if "-darwin-" in self.name else 2]


_GLIBC = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
"""glibc 2.28 is Debian 10's, Ubuntu 18.10's and RHEL 8's."""
_PLATFORMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "x86_64-linux-gnu": ("x86_64-linux-gnu", tuple(f"{libc}_x86_64" for libc in _GLIBC)),
    "aarch64-linux-gnu": ("aarch64-linux-gnu", tuple(f"{libc}_aarch64" for libc in _GLIBC)),
    "x86_64-linux-musl": ("x86_64-linux-musl", ("musllinux_1_2_x86_64", "musllinux_1_1_x86_64")),
    "aarch64-linux-musl": ("aarch64-linux-musl", ("musllinux_1_2_aarch64", "musllinux_1_1_aarch64")),
    "darwin-arm64": ("darwin", ("macosx_11_0_arm64",)),
    "darwin-x86_64": ("darwin", ("macosx_11_0_x86_64",)),
}
"""Each platform: how modules for it end, and the tags of its wheels. Both processors of macOS end alike."""


def _target(python: str, platform: str) -> Target:
    suffix, tags = _PLATFORMS[platform]
    soabi = f"cpython-{python.replace('.', '')}-"
    return Target(soabi + platform, python, f".{soabi}{suffix}.so", tags)


TARGETS = tuple(_target(python, platform) for platform in _PLATFORMS for python in PYTHONS)


def here() -> Target:
    """The one that runs this. Raises LookupError where it is none of them."""
    import _imp

    name = _imp.extension_suffixes()[0].split(".")[1]
    if sys.platform == "darwin":
        name += f"-{os.uname().machine}"
    found = [target for target in TARGETS if target.name == name]
    if not found:
        raise LookupError(f"the one file is not made for {name}; it is for {', '.join(t.name for t in TARGETS)}")
    return found[0]
