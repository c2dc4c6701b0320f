"""How scripts/build makes dist/ftgate.pyz: one file for every platform of `targets`.

Words: a *pin* is a line of the lock file, one package in one version with the hashes of its files; a *target* is one
CPython on one platform, named as it names its extension modules; *common* files serve every target and are the same in
all wheels of a package, *native* ones are compiled for one.

The file is a zip that Python runs. Inside lie a few modules (`entry`), which check the Python and unpack the rest once,
`common.zip` and one `native/TARGET.zip` for each target. So no target's modules can hide another's (on macOS both
processors name them alike), only what serves is unpacked, and a start reads a short table of contents.

Nothing in it depends on when or where it is built: names are sorted, times fixed.
"""
