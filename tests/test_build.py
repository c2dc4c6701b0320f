"""The one file: scripts/build makes it, and it is the same program with its data files inside."""

import ast
import email
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest

from scripts.packing import archive, lock, looked, parts, sbom, targets, wheels

ROOT = Path(__file__).resolve().parent.parent
LOCK = (ROOT / "scripts" / "lock" / "run.txt").read_text()
LOADS = """
import importlib, pkgutil, sys
import ftgate
for found in pkgutil.walk_packages(ftgate.__path__, "ftgate."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
for name in sys.argv[1:]:
    importlib.import_module(name)
from ftgate.accounts import stripe
stripe._client(stripe.Secret("sk_test_x"), "http://127.0.0.1:9")
print(len([name for name in sys.modules if name.startswith("ftgate.")]))
"""


def _loaded_from_others() -> list[str]:
    """The modules of packages that ftgate loads somewhere, be it within a function."""
    told = (node for path in (ROOT / "ftgate").rglob("*.py") for node in ast.walk(ast.parse(path.read_bytes())))
    named = set[str]()
    for node in told:
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named.add(node.module)
    ours = {*sys.stdlib_module_names, "ftgate", "psycopg"}  # psycopg is not in it: who wants it puts it beside
    return sorted(name for name in named if name.partition(".")[0] not in ours)


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        text: str = answer.read().decode()
        return text


@pytest.mark.slow
def test_the_one_file(tmp_path: Path) -> None:
    file = tmp_path / "ftgate.pyz"
    build = [ROOT / "scripts" / "build", "--here", "--output", file]
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    assert (
        tmp_path / "ftgate.pyz.sha256"
    ).read_text() == f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH" and "_API_KEY" not in name}
    env |= {"SHIV_ROOT": str(tmp_path / "shiv")}

    def run(*command: str) -> str:
        return subprocess.run(
            [sys.executable, *command], check=True, capture_output=True, text=True, timeout=60, cwd=tmp_path, env=env
        ).stdout

    assert run(str(file), "version").startswith("ftgate 0.")
    catalogue = json.loads(run(str(file), "models", "list", "--json"))
    assert {row["id"] for row in catalogue} >= {"demo-chat"}  # the catalogue's files are inside
    command = [sys.executable, str(file), "demo", "--port", "0", "--data", str(tmp_path / "new")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path, env=env) as serving:
        try:
            assert serving.stdout is not None
            url = serving.stdout.readline().decode().split()[1]
            page = _read(f"{url}/login")
            assert "<h1>Sign in</h1>" in page  # the pages are inside
            assert '<h2 id="plans">Plans</h2>' in _read(f"{url}/docs/billing")  # and what reads the manual
            loaded = re.findall(r'="(/static/[^"]+)"', page)
            assert len(loaded) == 3
            for path in loaded:
                assert len(_read(url + path)) > 100
        finally:
            serving.terminate()
    made = run(str(file), "users", "create", "ada", "--credits", "0.5", "--data", str(tmp_path / "data"), "--json")
    assert json.loads(made)["balance"] == "0.50"

    [site] = (tmp_path / "shiv").glob("*/site-packages")  # all that ftgate may load is there, with nothing beside it
    loads = f"import sys; sys.path.insert(0, {str(site)!r})\n{LOADS}"
    assert {"trio", "markdown_it", "rich.table"} <= set(others := _loaded_from_others())
    assert int(run("-I", "-S", "-c", loads, *others)) > 300
    files = [path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()]
    assert not [name for name in files if not name.endswith(".pyc") and not parts.serves(name)]
    document = json.loads((tmp_path / "ftgate.pyz.cdx.json").read_text())
    told = {(one["name"], one["version"]) for one in document["components"]}
    inside = {tuple(path.name.removesuffix(".dist-info").split("-")) for path in site.glob("*.dist-info")}
    assert told | {("ftgate", run(str(file), "version").split()[1])} == {(lock.normal(n), v) for n, v in inside}
    assert [one["name"] for one in document["components"] if not one["licenses"]] == []
    assert not {name for name, _ in told} & set(parts.LEFT_OUT)


def test_the_lock_file_is_read_whole() -> None:
    pins = {pin.name: pin for pin in lock.read(LOCK)}
    assert len(pins) == LOCK.count("==") and sum(len(pin.hashes) for pin in pins.values()) == LOCK.count("--hash=")
    assert lock.read("".join(pin.line() + "\n" for pin in pins.values())) == list(pins.values())
    assert {*parts.NATIVE, *parts.LEFT_OUT} <= set(pins) and set(parts.SPARED) <= set(parts.NATIVE)


@pytest.mark.parametrize("line", ["a==1", "a>=1 --hash=sha256:" + "0" * 64, "-e .", "a @ file:///a.whl", "--pre"])
def test_what_is_not_pinned_with_hashes_is_not_built_from(line: str) -> None:
    with pytest.raises(ValueError, match="no pin with hashes"):
        lock.read(f"b==1 \\\n    --hash=sha256:{'1' * 64}\n    # via a\n{line}\n")


def test_only_a_wheel_with_a_hash_of_the_lock_is_taken(tmp_path: Path) -> None:
    good = hashlib.sha256(b"good").hexdigest()
    pin = lock.Pin("a-b", "1.0", frozenset({good}))
    (tmp_path / "a_b-1.0-py3-none-any.whl").write_bytes(b"bad")
    (tmp_path / "a_b-1.0.1-py3-none-any.whl").write_bytes(b"good")
    assert wheels.kept(tmp_path, pin) is None
    (tmp_path / "a_b-1.0-py3-none-any.whl").write_bytes(b"good")
    assert wheels.fetch(tmp_path, [pin], None) == [tmp_path / "a_b-1.0-py3-none-any.whl"]


def test_every_platform_has_its_own_place() -> None:
    names = [target.name for target in targets.TARGETS]
    assert len(set(names)) == len(names) == 24
    wrong = [one for one in targets.TARGETS if not one.suffix.startswith(f".cpython-{one.abi.removeprefix('cp')}-")]
    assert wrong == []
    for tags in (target.tags for target in targets.TARGETS):
        assert len({tag.rsplit("_", 1 if "86_64" not in tag else 2)[-1] for tag in tags}) == 1  # one processor
    tagged = {target.tags for target in targets.TARGETS}
    shared = [(one, other) for one in tagged for other in tagged if one != other and not set(one).isdisjoint(other)]
    assert len(tagged) == 6 and shared == []


@pytest.mark.parametrize(
    "name, kept",
    [
        ("trio/_core/_run.py", True),
        ("jinja2/tests.py", True),
        ("stripe/test_helpers/_customer_service.py", True),
        ("tzdata/zoneinfo/Europe/Berlin", True),
        ("msgspec/_core.cpython-313-darwin.so", True),
        ("a-1.dist-info/METADATA", True),
        ("a-1.dist-info/licenses/vendor/LICENSE.txt", True),
        ("a-1.dist-info/COPYING", True),
        ("a-1.dist-info/RECORD", False),
        ("a-1.dist-info/entry_points.txt", False),
        ("a-1.data/scripts/run", False),
        ("trio/_core/_tests/test_run.py", False),
        ("msgspec/__init__.pyi", False),
        ("httptools/parser/parser.pyx", False),
        ("a/py.typed", False),
        ("stripe/params/_account.py", False),
    ],
)
def test_what_serves(name: str, kept: bool) -> None:
    assert parts.serves(name) is kept


def wheel(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for name, text in files.items():
            made.writestr(name.replace("__", "/").replace("_so", ".so"), text)
    return path


def test_compiled_wheels_come_together_where_they_agree(tmp_path: Path) -> None:
    linux = wheel(tmp_path / "l.whl", a__x="same", a__c_so="linux", **{"a-1.dist-info__RECORD": "l"})
    mac = wheel(tmp_path / "m.whl", a__x="same", a__c_so="mac", a__only="m", **{"a-1.dist-info__RECORD": "m"})
    common, natives = parts.merge([wheel(tmp_path / "p.whl", b__x="pure")], {"l": [linux], "m": [mac]})
    assert common == {"a/x": b"same", "a/only": b"m", "b/x": b"pure"}
    assert natives == {"l": {"a/c.so": b"linux"}, "m": {"a/c.so": b"mac"}}
    with pytest.raises(parts.Differ, match=r"a/x of o\.whl"):
        parts.merge([], {"l": [linux], "o": [wheel(tmp_path / "o.whl", a__x="other")]})
    with pytest.raises(ValueError, match=r"a/c\.so"):
        parts.merge([linux], {})
    assert parts.misnamed({"a/c.abi3.so": b"", "a/d.x.so": b"", "a.libs/l.so": b""}, ".x.so") == ["a/c.abi3.so"]


def test_the_same_parts_make_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = targets.TARGETS[:2]
    common = {f"ftgate/{letter}.py": letter.encode() for letter in "abc"}
    natives = {target.name: {f"m/x{target.suffix}": target.name.encode()} for target in chosen}
    first = archive.made("1", chosen, common, natives)
    backwards = [dict(reversed(files.items())) for files in (common, natives)]
    assert archive.made("1", chosen[::-1], backwards[0], backwards[1]) == first  # type: ignore[arg-type]
    other = natives | {chosen[0].name: {f"m/x{chosen[0].suffix}": b"other"}}
    assert archive.build_id({"c": common, **natives}) != archive.build_id({"c": common, **other})
    with zipfile.ZipFile(io.BytesIO(first)) as whole:
        assert [entry.date_time for entry in whole.infolist()] == [(2026, 1, 1, 0, 0, 0)] * len(whole.infolist())
        with zipfile.ZipFile(io.BytesIO(whole.read(f"native/{chosen[1].name}.zip"))) as inner:
            assert inner.read(f"m/x{chosen[1].suffix}") == chosen[1].name.encode()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")
    assert archive.made("1", chosen, common, natives) != first


def test_what_it_is_made_of(tmp_path: Path) -> None:
    common = {
        "a_b-1.dist-info/METADATA": b"Name: a.b\nLicense-Expression: MIT OR Apache-2.0\nRequires-Dist: c>=1; x\n"
        b"Requires-Dist: c; extra == 'd'\nRequires-Dist: absent\n\nName: none",
        "c-2.dist-info/METADATA": b"Name: c\nLicense: text\n of lines\n"
        b"Classifier: License :: OSI Approved :: BSD License\n",
        "ftgate-9.dist-info/METADATA": b"Name: ftgate\nLicense-Expression: MIT\n",
    }
    pins = [lock.Pin("a-b", "1", frozenset()), lock.Pin("c", "2", frozenset())]
    made = [wheel(tmp_path / name, x="y") for name in ("c-2-a.whl", "c-2-b.whl", "a_b-1-any.whl")]
    text = sbom.document("9", b"file", pins, common, made, ["c", "absent"])
    said = json.loads(text)
    assert said["metadata"]["component"]["hashes"][0]["content"] == hashlib.sha256(b"file").hexdigest()
    first, second = said["components"]
    assert (first["purl"], first["licenses"]) == ("pkg:pypi/a-b@1", [{"expression": "MIT OR Apache-2.0"}])
    assert second["licenses"] == [{"license": {"name": "BSD License"}}]
    assert [one["url"] for one in second["externalReferences"]] == ["c-2-a.whl", "c-2-b.whl"]
    assert {one["ref"]: one["dependsOn"] for one in said["dependencies"]} == {
        "pkg:pypi/ftgate@9": ["pkg:pypi/c@2"],
        "pkg:pypi/a-b@1": ["pkg:pypi/c@2"],
        "pkg:pypi/c@2": [],
    }
    assert str(tmp_path) not in text
    untold = email.message_from_string("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\n")
    assert sbom.licences(untold) == [{"license": {"name": "MIT License"}}]


HEADS = {
    "x86_64": b"\x7fELF\x02\x01" + bytes(12) + b"\x3e\x00",
    "aarch64": b"\x7fELF\x02\x01" + bytes(12) + b"\xb7\x00",
    "arm64": b"\xcf\xfa\xed\xfe\x0c\x00\x00\x01",
    "fat": b"\xca\xfe\xba\xbe\x00\x00\x00\x02\x01\x00\x00\x07" + bytes(16) + b"\x01\x00\x00\x0c" + bytes(16),
}
"""How compiled modules begin: for Linux, for macOS, and for both of its processors."""


def test_a_built_file_is_looked_through(tmp_path: Path) -> None:
    def module(target: targets.Target) -> bytes:
        return HEADS["fat"] if "darwin-x86_64" in target.name else HEADS[target.processor]

    natives = {
        target.name: {f"{name}/x{target.suffix}": module(target) for name in parts.NATIVE} for target in targets.TARGETS
    }
    common = {"a/x.py": b"", "a-1.dist-info/METADATA": b"", "a-1.dist-info/LICENSE": b""}
    file = tmp_path / "x.pyz"
    file.write_bytes(archive.made("1", targets.TARGETS, common, natives))
    assert looked.faults(file) == []
    first, second, third, fourth = targets.TARGETS[:4]
    del natives[first.name]
    del natives[second.name][f"msgspec/x{second.suffix}"]
    natives[third.name][f"msgspec/x{third.suffix}"] = HEADS["aarch64"]
    natives[fourth.name]["httptools/y.abi3.so"] = HEADS["x86_64"]
    common |= {"a/x.pyi": b"", "b-1.dist-info/METADATA": b""}
    file.write_bytes(archive.made("1", targets.TARGETS[1:], common, natives))
    assert looked.faults(file) == [
        f"native/{first.name}.zip is missing",
        f"{third.name}: msgspec/x{third.suffix} is for another processor",
        f"{fourth.name}: httptools/y.abi3.so does not end with {fourth.suffix}",
        f"{second.name} lacks msgspec/x",
        f"{third.name} lacks msgspec/x",
        "a/x.pyi does not serve",
        "b-1.dist-info has no licence's text",
    ]
