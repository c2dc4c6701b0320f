"""ftgate's own files, as pyproject.toml names them."""

import re
import tomllib
from pathlib import Path

from scripts.packing.parts import Files


def version(root: Path) -> str:
    found = re.search(r'^__version__ = "([^"]+)"$', (root / "ftgate" / "__init__.py").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def files(root: Path) -> Files:
    """The package and its data, its licence, and its name and version for whoever looks for them."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    patterns = ["**/*.py", *project["tool"]["setuptools"]["package-data"]["ftgate"]]
    package = root / "ftgate"
    found = {path for pattern in patterns for path in package.glob(pattern) if path.is_file()}
    own = {path.relative_to(root).as_posix(): path.read_bytes() for path in found if path.suffix != ".typed"}
    info = f"ftgate-{version(root)}.dist-info"
    about = project["project"]
    metadata = [
        "Metadata-Version: 2.4",
        "Name: ftgate",
        f"Version: {version(root)}",
        f"Summary: {about['description']}",
        f"License-Expression: {about['license']}",
        "License-File: LICENSE",
        f"Requires-Python: {about['requires-python']}",
    ]
    own[f"{info}/METADATA"] = ("\n".join(metadata) + "\n").encode()
    own[f"{info}/licenses/LICENSE"] = (root / "LICENSE").read_bytes()
    return own
