"""One target, guided by what of ftgate each example reaches: `python -m tests.fuzz.guided NAME SECONDS FOLDER`, in a
process of its own, since libFuzzer ends it. FOLDER is for what it comes upon. `scripts/fuzz --guided` calls it."""

import sys
from pathlib import Path

import atheris


def main() -> None:
    name, seconds, folder = sys.argv[1:4]
    with atheris.instrument_imports(include=["ftgate"]):
        from tests.fuzz.found import FOUND
        from tests.fuzz.targets import TARGETS
    target, seeds = TARGETS[name]
    for number, seed in enumerate([*seeds, *FOUND.get(name, ())]):
        (Path(folder) / f"seed-{number}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", "-max_len=20000", "-timeout=20", "-verbosity=0", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/fault-", folder], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
