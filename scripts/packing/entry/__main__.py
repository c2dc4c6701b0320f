"""The first lines of ftgate.pyz that run. Any Python since 2.7 can read them, so that one that cannot run ftgate says
so in a sentence; what follows is in _onefile.py. Exit status 78: nothing gets better by starting it again.
"""

import sys

import _build


def target():
    """How this Python names its extension modules; on macOS, where two processors share that, with the processor."""
    import _imp
    import os

    name = _imp.extension_suffixes()[0].split(".")[1]
    if sys.platform == "darwin":
        name += "-" + os.uname().machine
    return name


def unsupported():
    """One sentence where this Python cannot run what is inside, else an empty text."""
    implementation = getattr(sys, "implementation", None)
    name = {"cpython": "CPython", "pypy": "PyPy"}.get(getattr(implementation, "name", ""), "Python")
    here = "%s %s (%s)" % (name, ".".join(map(str, sys.version_info[:3])), sys.executable)
    if name != "CPython" or sys.version_info[:2] not in _build.PYTHONS:
        first, last = ["%d.%d" % version for version in (_build.PYTHONS[0], _build.PYTHONS[-1])]
        span = first if first == last else "%s to %s" % (first, last)
        return "ftgate runs on CPython %s, and this is %s: start it with another, as in python%s %s" % (
            span,
            here,
            last,
            sys.argv[0],
        )
    if target() not in _build.TARGETS:
        known = sorted(set(one.split("-", 2)[2] for one in _build.TARGETS))
        return "this file holds ftgate for %s, and this is %s for %s: install it from its sources (pip install .)" % (
            ", ".join(known),
            here,
            target(),
        )
    return ""


def main():
    sentence = unsupported()
    if sentence:
        sys.stderr.write("ftgate: " + sentence + "\n")
        sys.exit(78)
    import _onefile

    _onefile.start(target())


if __name__ == "__main__":
    main()
