"""The manual: what is listed, found and led to."""

from tests.plants.plant import Plant

FILE = "ftgate/manual/__init__.py"
TESTS = "tests/manual/test_topics.py tests/manual/test_help.py tests/manual/test_names.py"

PLANTS = (
    Plant("a topic is in no list", FILE, '        "troubleshooting",\n', "", TESTS),
    Plant("a title keeps its mark", FILE, 'title.removeprefix("# ")', "title", TESTS),
    Plant("a mistyped topic is like none", FILE, "get_close_matches(name.lower(), NAMES, n=3)", "[]", TESTS),
    Plant("what is no topic is looked for all the same", FILE, "if name not in NAMES:", "if not name:", TESTS),
    Plant("what a topic is for is its body", FILE, "about, body, text)", "body, about, text)", TESTS),
)
