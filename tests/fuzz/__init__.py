"""Every parser that reads what a stranger sent, held against any bytes: TARGETS (targets.py) by name, each a function
of bytes that raises only when something is wrong. `few` examples of each run with the tests (test_fuzz.py), as many as
there is time for in `scripts/fuzz` (run.py)."""
