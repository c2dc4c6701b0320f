"""The one file's own beginning, around a program of two lines: where it unpacks itself to, what it removes, and what it
says where it cannot."""

import ast
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from scripts.packing import archive, targets

ENTRY = archive.ENTRY
HERE = targets.here()
SAYS = "def main():\n    print('hello')\n"
WAITS = "import sys\n\ndef main():\n    print('hello', flush=True)\n    sys.stdin.read()\n"


def tiny(place: Path, program: str = SAYS, **more: str) -> Path:
    """A one file whose ftgate is this program."""
    common = {"ftgate/__init__.py": b"", "ftgate/cli/__init__.py": b"", "ftgate/cli/group.py": program.encode()}
    common |= {f"ftgate/{name}.py": text.encode() for name, text in more.items()}
    place.write_bytes(archive.made("9.9", [HERE], common, {HERE.name: {}}))
    return place


def command(file: Path, env: dict[str, str], *options: str) -> dict[str, object]:
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME") if name in os.environ}
    return {"args": [sys.executable, *options, str(file)], "env": kept | env, "text": True}


def run(file: Path, env: dict[str, str], *options: str, **more: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(capture_output=True, timeout=60, **command(file, env, *options), **more)  # type: ignore[call-overload,no-any-return]


def folders(root: Path) -> list[Path]:
    return sorted(root.iterdir()) if root.exists() else []


@pytest.mark.parametrize(
    "environ, first",
    [
        ({"SHIV_ROOT": "/srv/x", "XDG_CACHE_HOME": "/c", "HOME": "/h"}, ["/srv/x"]),
        ({"CACHE_DIRECTORY": "/var/cache/ftgate:/var/cache/b", "HOME": "/h"}, ["/var/cache/ftgate"]),
        ({"SHIV_ROOT": "", "XDG_CACHE_HOME": "/c", "HOME": "/h"}, ["/c/ftgate", "/tmp/ftgate-7"]),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, ["/h/.cache/ftgate", "/tmp/ftgate-7"]),
        ({"HOME": "/h", "TMPDIR": "/t"}, ["/h/.cache/ftgate", "/t/ftgate-7", "/tmp/ftgate-7"]),
        ({"HOME": "", "TMPDIR": "t"}, ["/of/passwd/.cache/ftgate", "/tmp/ftgate-7", "/var/tmp/ftgate-7"]),
    ],
)
def test_where_it_may_unpack_to(
    environ: dict[str, str], first: list[str], beginning: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path.replace("~", "/of/passwd"))
    found = beginning.roots(environ, 7)
    assert [root for root, _ in found][: len(first)] == first
    named = bool(environ.get("SHIV_ROOT") or environ.get("CACHE_DIRECTORY"))
    kinds = ["named"] if named else ["cache", *["temporary"] * (len(found) - 1)]
    assert [kind for _, kind in found] == kinds


@pytest.fixture
def beginning(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ENTRY))
    for name in ("_build", "_onefile", "_unpack"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import _onefile  # type: ignore[import-not-found]

    return _onefile  # type: ignore[no-any-return]


def test_it_is_unpacked_once_and_compiled(tmp_path: Path) -> None:
    """PYTHONDONTWRITEBYTECODE, usual in containers, must not make every start compile ftgate."""
    file, root = tiny(tmp_path / "x.pyz"), tmp_path / "root"
    env = {"SHIV_ROOT": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    assert run(file, env).stdout == "hello\n"
    [folder] = folders(root)
    assert re.fullmatch(rf"ftgate-[0-9a-f]{{16}}-{HERE.name}", folder.name)
    assert sorted(path.name.split(".")[0] for path in folder.rglob("*.pyc")) == ["__init__", "__init__", "group"]
    for path in folder.rglob("*.py"):
        path.write_text("raise SystemExit('compiled again')")
    again = run(file, env | {"PYTHONPYCACHEPREFIX": str(tmp_path / "elsewhere")})
    assert (again.stdout, again.stderr) == ("hello\n", "")


@pytest.mark.parametrize("env", [{"XDG_CACHE_HOME": "/proc/none"}, {"HOME": "/dev/null"}])
def test_without_a_place_of_its_own_it_takes_a_closed_temporary_one(env: dict[str, str], tmp_path: Path) -> None:
    ran = run(tiny(tmp_path / "x.pyz"), env | {"TMPDIR": str(tmp_path / "tmp")})
    assert (ran.stdout, ran.stderr) == ("hello\n", "")
    [root] = (tmp_path / "tmp").iterdir()
    assert (root.name, root.stat().st_mode & 0o777) == (f"ftgate-{os.geteuid()}", 0o700)


def test_a_temporary_folder_that_others_can_write_is_not_run_from(
    beginning: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else could have put there what we would run."""
    found = {name: tmp_path / name for name in ("open", "linked", "another's", "ours")}
    for name, path in found.items():
        path.symlink_to(tmp_path) if name == "linked" else path.mkdir(0o700)
    found["open"].chmod(0o722)
    if os.geteuid() == 0:
        os.chown(found["another's"], 12_345, 12_345)
    else:
        found["another's"].rmdir()  # nobody else's can be made here: the path stands for one that is missing
    monkeypatch.setattr(beginning, "roots", lambda *_: [(str(path), beginning.CACHE) for path in found.values()])
    for path in (found["open"], found["another's"]):
        if path.exists():
            with pytest.raises(PermissionError):
                beginning.check(str(path), os.geteuid())
    with pytest.raises(PermissionError):
        beginning.check(str(found["linked"]), os.geteuid())
    monkeypatch.setattr(beginning._build, "ID", "0" * 16)
    site = Path(beginning.place(HERE.name, str(tiny(tmp_path / "x.pyz")), {}))
    assert (site / "ftgate" / "cli" / "group.py").read_text() == SAYS
    assert site.is_relative_to(found["ours"] if os.geteuid() == 0 else found["another's"])


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can write in the home of another user")
def test_root_leaves_nothing_in_the_home_of_another_user(tmp_path: Path) -> None:
    """With sudo that keeps HOME: the user could not write to a folder of root's, and would never unpack there again."""
    (home := tmp_path / "home").mkdir()
    os.chown(home, 12_345, 12_345)
    ran = run(tiny(tmp_path / "x.pyz"), {"HOME": str(home), "TMPDIR": str(tmp_path)})
    assert (ran.stdout, ran.stderr, folders(home)) == ("hello\n", "", [])
    assert len(folders(tmp_path / "ftgate-0")) == 1


def test_a_named_folder_that_cannot_be_had_is_said(tmp_path: Path) -> None:
    ran = run(tiny(tmp_path / "x.pyz"), {"SHIV_ROOT": "/proc/none", "HOME": str(tmp_path)})
    assert (ran.returncode, ran.stdout) == (1, "")
    assert re.fullmatch(r"ftgate: .* into /proc/none \(.+\): set SHIV_ROOT to a folder .*\n", ran.stderr)
    assert folders(tmp_path) == [tmp_path / "x.pyz"]


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    file, root = tiny(tmp_path / "x.pyz", big="x = '" + "y" * 50_000 + "'"), tmp_path / "root"
    env = {"SHIV_ROOT": str(root)}
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))  # noqa: E731
    ran = run(file, env, preexec_fn=limit)
    assert ran.returncode == 1 and "File too large" in ran.stderr and "Traceback" not in ran.stderr
    assert folders(root) == []
    assert run(file, env).stdout == "hello\n"


def test_what_a_killed_start_left_is_mended(tmp_path: Path) -> None:
    file, root = tiny(tmp_path / "x.pyz"), tmp_path / "root"
    run(file, {"SHIV_ROOT": str(root)})
    [folder] = folders(root)
    half = folder.rename(folder.with_name(folder.name + ".0123abcd.new"))
    next(half.rglob("group.py")).unlink()
    assert run(file, {"SHIV_ROOT": str(root)}).stdout == "hello\n"
    assert folders(root) == [folder]


def test_what_was_tidied_away_in_part_is_unpacked_again(tmp_path: Path) -> None:
    """A temporary folder is cleaned file by file, of those that were not read lately."""
    root = tmp_path / "tmp" / f"ftgate-{os.geteuid()}"
    file, env = tiny(tmp_path / "x.pyz"), {"HOME": "/proc/none", "TMPDIR": str(root.parent)}
    run(file, env)
    for path in root.rglob("group*"):
        path.unlink()
    ran = run(file, env)
    assert (ran.stdout, ran.stderr) == ("hello\n", "")
    assert len(folders(root)) == 1


def test_a_start_from_the_cache_loads_nothing_that_unpacks(tmp_path: Path) -> None:
    """Every command begins with it: to count files, or to load what reads zips, would be a tenth of a short one."""
    program = "import sys\n\ndef main():\n    print('_unpack' in sys.modules, 'zipfile' in sys.modules)\n"
    file = tiny(tmp_path / "x.pyz", program)
    env = {"XDG_CACHE_HOME": str(tmp_path)}
    assert run(file, env, "-S").stdout == "True True\n"
    assert run(file, env, "-S").stdout == "False False\n"


def test_older_builds_go_but_those_in_use_and_nothing_else(tmp_path: Path) -> None:
    root = tmp_path / "root"
    env = {"SHIV_ROOT": str(root)}
    first, second, third = (tiny(tmp_path / f"{n}.pyz", WAITS, other=f"n = {n}") for n in range(3))
    kept = [root / name for name in ("ftgate", "ftgate-0123456789abcdef", "x-0123456789abcdef-cpython-311-x", "a.txt")]
    for path in kept:
        path.mkdir(parents=True)
    linked = root / f"ftgate-{'0' * 16}-{HERE.name}"
    linked.symlink_to(tmp_path)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(**command(first, env), **pipes) as serving:  # type: ignore[call-overload]
        assert serving.stdout.readline() == "hello\n"
        [used] = set(folders(root)) - {*kept, linked}
        assert run(second, env, input="").stdout == "hello\n"
        [idle] = set(folders(root)) - {*kept, linked, used}
        assert run(first, env, input="").stdout == "hello\n"  # it is there: nothing is unpacked, nothing removed
        assert idle.exists()
        assert run(third, env, input="").stdout == "hello\n"
        assert used.exists() and not idle.exists()
        serving.communicate("")
    assert run(second, env, input="").stdout == "hello\n"
    assert set(folders(root)) == {*kept, linked, idle}
    assert (tmp_path / "0.pyz").exists()


def test_two_first_starts_at_once(tmp_path: Path) -> None:
    file, root = tiny(tmp_path / "x.pyz", **{f"m{n}": "x = 1\n" * 100 for n in range(50)}), tmp_path / "root"
    both = [
        subprocess.Popen(stdout=subprocess.PIPE, stderr=subprocess.PIPE, **command(file, {"SHIV_ROOT": str(root)}))  # type: ignore[call-overload]
        for _ in range(3)
    ]
    assert [one.communicate(timeout=60) for one in both] == [("hello\n", "")] * 3
    assert len(folders(root)) == 1


def test_its_own_modules_come_first(tmp_path: Path) -> None:
    """Another ftgate in the current folder or on PYTHONPATH is not the one that was asked for."""
    (tmp_path / "ftgate" / "cli").mkdir(parents=True)
    for name, text in {"__init__": "", "cli/__init__": "", "cli/group": "def main():\n    print('another')\n"}.items():
        (tmp_path / "ftgate" / f"{name}.py").write_text(text)
    env = {"SHIV_ROOT": str(tmp_path / "root"), "PYTHONPATH": str(tmp_path)}
    assert run(tiny(tmp_path / "x.pyz"), env, cwd=tmp_path).stdout == "hello\n"


def test_a_python_that_lacks_its_own_modules_is_told_apart(tmp_path: Path) -> None:
    env = {"SHIV_ROOT": str(tmp_path / "root")}
    lacking = "def main():\n    raise ModuleNotFoundError(name={name!r})\n"
    ran = run(tiny(tmp_path / "x.pyz", lacking.format(name="_sqlite3")), env)
    assert ran.returncode == 78 and "lacks _sqlite3" in ran.stderr and "Traceback" not in ran.stderr
    ran = run(tiny(tmp_path / "y.pyz", lacking.format(name="trio")), env)
    assert ran.returncode == 1 and "Traceback" in ran.stderr


def test_its_first_lines_are_for_any_python() -> None:
    tree = ast.parse((ENTRY / "__main__.py").read_text(), feature_version=(3, 4))
    newer = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Starred)
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, newer)]
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert functions and not [
        node.name for node in functions if node.returns or any(a.annotation for a in node.args.args)
    ]


@pytest.mark.parametrize(
    "held, said",
    [
        ({"PYTHONS": ((3, 7), (3, 8))}, r"ftgate runs on CPython 3\.7 to 3\.8, and this is CPython 3\.\d+\.\d+ \(/"),
        ({"PYTHONS": ((3, 7),)}, r"ftgate runs on CPython 3\.7, and this is CPython .* as in python3\.7 /.*x\.pyz"),
        ({"TARGETS": ("cpython-311-riscv64-linux-gnu",)}, "holds ftgate for riscv64-linux-gnu, and this is CPython"),
    ],
)  # fmt: skip
def test_another_python_or_machine_is_told_in_a_sentence(
    held: dict[str, object], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {name.removesuffix(".py"): path.read_bytes() for path in ENTRY.glob("*.py") for name in [path.name]}
    about = {"VERSION": "9.9", "ID": "", "PYTHONS": (tuple(sys.version_info[:2]),), "TARGETS": (HERE.name,)} | held
    made["_build"] = "".join(f"{name} = {value!r}\n" for name, value in about.items()).encode()
    file = tmp_path / "x.pyz"
    file.write_bytes(archive.zipped({f"{name}.py": text for name, text in made.items()}, runs=True))
    ran = run(file, {"SHIV_ROOT": str(tmp_path)})
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (78, "", 1)
    assert re.search(said, ran.stderr), ran.stderr
