"""Whether what a lock file holds can be had as wheels that it knows, as pip's own report of a dry run tells."""

import json
from collections.abc import Sequence

from scripts.packing.lock import Pin, normal


def faults(pins: Sequence[Pin], report: str) -> list[str]:
    """What is not as it is to be; nothing where each package comes as a wheel of a hash that is locked. Raises
    ValueError for what is no report."""
    try:
        rows = json.loads(report)["install"]
        found = {
            normal(row["metadata"]["name"]): (
                row["metadata"]["version"], row["download_info"]["url"].partition("#")[0],
                row["download_info"]["archive_info"]["hashes"]["sha256"],
            )
            for row in rows
        }  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("no report of pip's") from error
    told = []
    for pin in pins:
        if pin.name not in found:
            told.append(f"{pin.name} {pin.version} would not be installed")
            continue
        version, url, digest = found[pin.name]
        if version != pin.version:
            told.append(f"{pin.name} is locked as {pin.version} and would come as {version}")
        if not url.endswith(".whl"):
            told.append(f"{pin.name} {version} comes as no wheel: what builds it would run here")
        if digest not in pin.hashes:
            told.append(f"{pin.name} {version} comes with a hash that is not locked")
    more = sorted(set(found) - {pin.name for pin in pins})
    return [*told, *(f"{name} would come too and is not locked" for name in more)]
