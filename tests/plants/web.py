"""The routes beside the relay: whose figures they show, to whom, and for how long."""

from tests.plants.plant import Plant

PLANTS = (
    Plant(
        "a key sees another account's calls",
        "ftgate/web/api/usage.py",
        "_listed(journal, _wanted(asker.account), ROW)",
        "_listed(journal, _wanted(whole_id('user') or asker.account), ROW)",
        "tests/web/test_usage.py",
    ),
    Plant(
        "anybody sees the operator's list of requests",
        "ftgate/web/api/usage.py",
        """        await guard.operator()
        return await _listed(""",
        """        await guard.account()
        return await _listed(""",
        "tests/web/test_usage.py",
    ),
    Plant(
        "a zone's name leads anywhere on the disk",
        "ftgate/web/asked.py",
        "if len(said) <= 64 and _ZONE.fullmatch(said):",
        "if len(said) <= 64:",
        "tests/web/test_usage.py",
    ),
    Plant(
        "a page loses its cursor",
        "ftgate/web/api/usage.py",
        "skipped=asked.skipped, size=asked.size, after=after",
        "skipped=asked.skipped, size=asked.size, after=None",
        "tests/web/test_usage.py",
    ),
    Plant(
        "a key sees another account's balance",
        "ftgate/web/api/account.py",
        "posted, now_us = await accounts.posted(asker.account)",
        "posted, now_us = await accounts.posted(asker.key.id)",
        "tests/web/test_api.py",
    ),
    Plant(
        "account routes are open to other origins",
        "ftgate/web/site.py",
        "if self.live.doors.cors and http.is_open(request.path):",
        "if self.cors:",
        "tests/web/test_site.py",
    ),
    Plant(
        "a key's list holds models that its plan forbids",
        "ftgate/web/api/models.py",
        " and routes.permits(terms.models, name)",
        "",
        "tests/web/test_api.py",
    ),
    Plant(
        "balances are kept by caches on the way",
        "ftgate/web/site.py",
        'answer.headers["Cache-Control"] = "no-store"',
        "pass",
        "tests/web/test_site.py",
    ),
    Plant(
        "an internal error tells what it was",
        "ftgate/web/site.py",
        'InternalError("internal error")',
        'InternalError(f"internal error: {error}")',
        "tests/web/test_site.py",
    ),
    Plant(
        "the end of an answer has lost its shield",
        "ftgate/web/connection.py",
        "shield=last",
        "shield=False",
        "tests/web/test_connection.py",
    ),
    Plant(
        "a page of the log may be of any size",
        "ftgate/web/pages.py",
        "return min(int(said[:12]), most)",
        "return int(said[:12])",
        "tests/web/test_usage.py",
    ),
    Plant(
        "cached tokens are listed at the input's price",
        "ftgate/web/api/models.py",
        '"cached": price(model.price.cached)',
        '"cached": price(model.price.input)',
        "tests/web/test_api.py",
    ),
    Plant(
        "any account ends calls in flight",
        "ftgate/web/api/calls.py",
        "asker = await guard.operator()\n        await calls.stop",
        "asker = await guard.account()\n        await calls.stop",
        "tests/web/test_operator.py",
    ),
    Plant(
        "everybody who is signed in is an operator",
        "ftgate/web/asking.py",
        'return self.person.role == "admin" and self.key is None',
        "return self.key is None",
        "tests/web/test_managing.py",
    ),
    Plant(
        "a grant over HTTP may take credits back",
        "ftgate/web/api/credits.py",
        "if units <= 0:",
        "if units == 0:",
        "tests/web/test_managing.py",
    ),
    Plant(
        "operators delete their own keys alone",
        "ftgate/web/api/users.py",
        "await keys.delete(number(id), None, doer(asker))",
        "await keys.delete(number(id), asker.account, doer(asker))",
        "tests/web/test_managing.py",
    ),
    Plant(
        "a user reads another one's key by its number",
        "ftgate/web/api/tokens.py",
        "return reply(keys.shown(number(id), asker.account))",
        "return reply(keys.shown(number(id), None))",
        "tests/blackbox/test_who_may.py::test_what_is_another_s_is_as_if_it_were_not_there",
    ),
    Plant(
        "everybody learns which routes operators have",
        "ftgate/web/site.py",
        "                await self.guard.operator()\n",
        "                pass\n",
        "tests/web/test_managing.py::test_operators_alone",
    ),
)
