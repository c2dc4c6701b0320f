"""Writes the generated topics, or says which of them are old."""

import sys

from scripts.documenting.written import PLACE, written


def main() -> int:
    old = []
    for name, text in written().items():
        file = PLACE / f"{name}.md"
        if not file.exists() or file.read_text("utf-8") != text:
            old.append(file.name)
            if "--check" not in sys.argv:
                file.write_text(text, "utf-8")
    print(f"{', '.join(old) or 'nothing'} {'is old' if '--check' in sys.argv else 'written'}")
    return 1 if old and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
