"""What the one file is made of, as a CycloneDX 1.5 document."""

import email
import email.message
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from scripts.packing.lock import Pin, normal
from scripts.packing.parts import Files

_EXPRESSION = re.compile(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*")


def _metadata(common: Files) -> dict[str, email.message.Message]:
    """What each package says of itself."""
    said = [
        email.message_from_bytes(data)
        for name, data in common.items()
        if name.partition("/")[0].endswith(".dist-info") and name.endswith("/METADATA")
    ]
    return {normal(str(message["Name"])): message for message in said}


def licences(said: email.message.Message) -> list[dict[str, Any]]:
    if expression := said["License-Expression"]:
        return [{"expression": str(expression)}]
    classified = [str(one).rpartition(" :: ")[2] for one in said.get_all("Classifier", []) if "License ::" in str(one)]
    named = str(said["License"] or "").strip().replace("UNKNOWN", "")
    if _EXPRESSION.fullmatch(named):
        return [{"license": {"name": named}}]
    return [{"license": {"name": name}} for name in classified or named.splitlines()[:1]]


def _needs(said: email.message.Message, known: Iterable[str]) -> list[str]:
    """The packages in the file that one asks for, but for its extras."""
    asked = [str(one) for one in said.get_all("Requires-Dist", []) if "extra ==" not in str(one)]
    names = {normal(re.split(r"[^A-Za-z0-9._-]", one, maxsplit=1)[0]) for one in asked}
    return sorted(names & set(known))


def _component(pin: Pin, said: email.message.Message, wheels: Iterable[Path]) -> dict[str, Any]:
    files = {wheel.name: hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels}
    return {
        "type": "library",
        "bom-ref": f"pkg:pypi/{pin.name}@{pin.version}",
        "name": pin.name,
        "version": pin.version,
        "description": str(said["Summary"] or ""),
        "licenses": licences(said),
        "purl": f"pkg:pypi/{pin.name}@{pin.version}",
        "externalReferences": [
            {"type": "distribution", "url": name, "hashes": [{"alg": "SHA-256", "content": digest}]}
            for name, digest in sorted(files.items())
        ],
    }


def document(
    version: str, made: bytes, pins: Sequence[Pin], common: Files, wheels: Iterable[Path], needs: Iterable[str]
) -> str:
    """The document, the same for the same file. `needs` are the names of what ftgate asks for itself."""
    said = _metadata(common)
    by_name: dict[str, list[Path]] = {}
    for wheel in wheels:
        by_name.setdefault(normal(wheel.name.partition("-")[0]), []).append(wheel)
    refs = {pin.name: f"pkg:pypi/{pin.name}@{pin.version}" for pin in pins}
    own = f"pkg:pypi/ftgate@{version}"
    depends = {own: sorted(set(needs) & set(refs))} | {refs[n]: _needs(said[n], refs) for n in refs}
    whole = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": "ftgate",
                "version": version,
                "licenses": licences(said["ftgate"]),
                "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(made).hexdigest()}],
            }
        },
        "components": [_component(pin, said[pin.name], by_name[pin.name]) for pin in pins],
        "dependencies": [{"ref": ref, "dependsOn": [refs[n] for n in names]} for ref, names in depends.items()],
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
