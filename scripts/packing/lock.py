"""The lock file: packages in one version each, with the hashes of their files."""

import re
from dataclasses import dataclass

_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==(\S+)((?:\s+--hash=sha256:[0-9a-f]{64})+)\s*$")


@dataclass(frozen=True)
class Pin:
    name: str
    version: str
    hashes: frozenset[str]
    """SHA-256 of each file that may stand for it, in hex."""

    def line(self) -> str:
        """As pip reads it."""
        return " ".join([f"{self.name}=={self.version}", *(f"--hash=sha256:{one}" for one in sorted(self.hashes))])


def normal(name: str) -> str:
    """A package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read(text: str) -> list[Pin]:
    """Raises ValueError at a line that is no pin with hashes: nothing else may come into the file."""
    kept = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    pins = []
    for line in "\n".join(kept).replace("\\\n", " ").splitlines():
        found = _PIN.match(line.strip())
        if found is None:
            raise ValueError(f"the lock file has a line that is no pin with hashes: {line.strip()[:80]}")
        hashes = frozenset(re.findall(r"sha256:([0-9a-f]{64})", found[3]))
        pins.append(Pin(normal(found[1]), found[2], hashes))
    return pins
