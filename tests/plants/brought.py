"""Calls that bring a provider key of their own, in all rooms."""

from tests.plants.plant import Plant

_BROUGHT = "tests/line/test_brought.py"
PLANTS = (
    *(
        Plant(f"a caller's own provider key: {what}", f"ftgate/{file}", old, new, _BROUGHT)
        for what, file, old, new in (
            ("its headers are kept made", "line/upward.py", "if candidate.brought:", "if not candidate:"),
            ("its call is sold for credits", "line/brought.py", "x.mode = BYOK  # also", "x.mode = STANDARD  # also"),
            (
                "what fails speaks against a channel",
                "line/standing.py",
                "        if self._apart(way):\n            return\n",
                "",
            ),
            ("it waits for a circuit", "line/standing.py", "self.health.fine or way.brought:", "self.health.fine:"),
            ("the model that its call names is remembered", "line/gate.py", "if x.mode is not BYOK:", "if True:"),
            (
                "a code may echo it",
                "line/words.py",
                "outcome.code and conceal(outcome.code, candidate)",
                "outcome.code",
            ),
            ("it is echoed where JSON is", "core/redact.py", "if any(mark in text", "if False and any(mark in text"),
            ("two that differ", "line/brought.py", "in_fields != x.call.brought", "False"),
            (
                "any model may be named",
                "line/brought.py",
                "for models in (key.models, terms.models)",
                "for models in ()",
            ),
            ("the month is not asked for", "store/ledger.py", ">= request.month_limit", "> 10**18"),
            (
                "its tokens are not counted",
                "store/ledger.py",
                "            self._count(batch, row)",
                "            pass",
            ),
            ("it may be one of ours", "dialects/brought.py", "if key.startswith(OWN_KEY):", "if False:"),
            ("it may end its header", "dialects/brought.py", "_KEY.fullmatch(key)", "len(key) >= 8"),
        )
    ),
    Plant(
        "a caller's own provider key: its request's head is kept",
        "ftgate/transports/direct.py",
        "if request.brought:",
        "if False:",
        "tests/transports/test_brought.py",
    ),
    *(
        Plant(f"months of BYOK calls: {what}", f"ftgate/{file}", old, new, "tests/store/test_months.py")
        for what, file, old, new in (
            (
                "a second call replaces the first",
                "store/batch.py",
                "SET tokens = byok_months.tokens + excluded.tokens",
                "SET tokens = excluded.tokens",
            ),
            (
                "a restart forgets them",
                "accounts/directory.py",
                "        self.books.months.update(found.months)\n",
                "",
            ),
            (
                "nobody compares them with the rows",
                "store/verify.py",
                "        compare_months(connection, months, gone_months, newest)\n",
                "",
            ),
            (
                "a call counts when it ends",
                "store/ledger.py",
                "when = month(row.created_at_us)",
                "when = month(self.clock.wall_us())",
            ),
            ("an older month takes the newer one's place", "core/books.py", "if month >= last:", "if True:"),
            ("a crashed call was paid for", "store/recovery.py", "mode=hold.note or STANDARD", "mode=STANDARD"),
        )
    ),
    Plant(
        "a server may leave a core file",
        "ftgate/app.py",
        "    serving.keep_no_core()\n",
        "",
        "tests/blackbox/test_byok.py",
    ),
    *(
        Plant(f"core files: {what}", "ftgate/house/serving.py", old, new, "tests/house/test_serving.py")
        for what, old, new in (
            ("they have a size", "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))", "pass"),
            ("they go to a program", "prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)", "prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)"),
        )
    ),
    Plant(
        "an ftgate of somebody else's holds the port",
        "ftgate/cli/serve.py",
        "user in users and",
        "",
        "tests/cli/test_serve.py",
    ),
    Plant(
        "an idle connection holds the head of its last request, and the key in it",
        "ftgate/doors/fast.py",
        "                self.answer = None\n",
        "                pass\n",
        "tests/doors/test_fast.py tests/blackbox/test_byok.py",
    ),
)
