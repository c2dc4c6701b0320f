"""`scripts/clients`: every client over each kind of channel; one line for each, exit code 1 if one failed."""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.blackbox.harness import House
from tests.clients import commands, running
from tests.clients.commands import Verdict
from tests.clients.house import KINDS, house
from tests.clients.install import HERE, installed

SDKS = {"the Anthropic SDK": "anthropic.mjs", "the OpenAI SDK": "openai.mjs"}


def sdks(house: House, kind: str, packages: Path, words: list[str]) -> Iterator[Verdict]:
    """One for each SDK whose name holds all `words`. Its checks stand beside its packages, as Node wants them."""
    place = house.base / "sdks"
    place.mkdir()
    (place / "node_modules").symlink_to(packages / "node_modules")
    for file in HERE.glob("*.mjs"):
        shutil.copy(file, place)
    env = {"GATE": house.url, "FAKE": house.fake.url, "CHANNEL": kind, "HOME": str(place)}
    for sdk, file in SDKS.items():
        name = f"{sdk}, {kind}"
        if not all(word in name for word in words):
            continue
        keys = {"KEY": house.account("10").key, "POOR_KEY": house.account("0").key}
        ended = running.run(["node", file], cwd=place, env={**env, **keys})
        last = ended.said.strip().rpartition("\n")[2]
        wrong = "" if ended.code == 0 and last.endswith(" checks") else f"exit code {ended.code}; {last}"
        yield Verdict(f"{name}: {last}" if not wrong else name, wrong, ended.said, 0.0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/clients")
    parser.add_argument("words", nargs="*", help="only what has all of these in its name: codex, chats, writes, SDK")
    parser.add_argument("--transcripts", type=Path, metavar="FILE", help="keep what the clients printed")
    chosen = parser.parse_args()
    try:
        packages = installed()
    except (subprocess.SubprocessError, OSError) as error:
        print(f"the clients could not be installed: {error}", file=sys.stderr)
        return 2
    tried: list[Verdict] = []
    with ExitStack() as stack:
        for kind in KINDS:
            base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ftgate-clients-")))
            with house(base, kind) as own:
                programs = packages / "node_modules" / ".bin"
                for found in (
                    sdks(own, kind, packages, chosen.words),
                    commands.verdicts(own, kind, programs, chosen.words),
                ):
                    for verdict in found:
                        tried.append(verdict)
                        show(verdict)
                own.settle_down()
    if chosen.transcripts:
        chosen.transcripts.write_text("\n".join(f"==== {one.name}\n{one.said.strip()}\n" for one in tried))
    failed = sum(bool(verdict.wrong) for verdict in tried)
    print(f"\n{len(tried)} clients and tasks, {failed} failed")
    return 1 if failed or not tried else 0


def show(verdict: Verdict) -> None:
    took = f"  {verdict.took_s:.1f} s" if verdict.took_s else ""
    print(f"{'FAILED' if verdict.wrong else 'ok':6} {verdict.name}{took}", flush=True)
    if verdict.wrong:
        print(f"       {verdict.wrong}\n" + "\n".join(f"       | {line}" for line in verdict.said.splitlines()[-60:]))


if __name__ == "__main__":
    sys.exit(main())
