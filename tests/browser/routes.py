"""The routes of the dashboard's pages, as the site itself has them: a new one is found by itself."""

import re
from functools import cache

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule

from tests.web.fakes import Asking

MAP = Asking().site.app.url_map
ROUTES = sorted(
    (method, rule.rule)
    for rule in MAP.iter_rules()
    if rule.endpoint.startswith("pages.")
    for method in (rule.methods or set()) & {"GET", "POST"}
)
"""(method, path with <names>)."""
PAGES = {path for method, path in ROUTES if method == "GET"}
FOR_ALL = {"/login", "/register", "/setup", "/docs", "/docs/<name>", "/favicon.ico", "/static/<digest>/<name>"}
"""What may be opened without signing in."""


@cache
def rule_of(path: str) -> str | None:
    """The page that answers at a path."""
    try:
        rule: Rule = MAP.bind("localhost").match(path, method="GET", return_rule=True)[0]
    except HTTPException:
        return None
    return rule.rule if rule.rule in PAGES else None


def filled(rule: str, value: str) -> str:
    """A rule's path with this in the place of each name."""
    return re.sub("<[^>]*>", value, re.sub(r"<any\((\w+)[^>]*>", r"\1", rule))
