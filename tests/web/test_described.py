"""The document tells of every route that there is, and of no other."""

import json
import re
from typing import Any

import pytest

from ftgate.doors import http
from ftgate.web.described.document import PARTS, document, operations, refusals
from ftgate.web.pages.all import NAME as PAGES
from tests.web.fakes import Asking

LOGINS = ("/v1/auth/login", "/v1/auth/session")


def served() -> set[tuple[str, str]]:
    """Method and path of every route of the API; pages are for people, but for the one that tells of the API."""
    rules = [
        rule
        for rule in Asking().site.app.url_map.iter_rules()
        if rule.rule == "/docs" or not rule.endpoint.startswith(f"{PAGES}.")
    ]
    found = {
        (method, re.sub(r"<(?:path:)?(\w+)>", r"{\1}", rule.rule))
        for rule in rules
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    return found | {("POST", path) for path in http.CALLS}


def test_every_route_is_told_and_no_other() -> None:
    told = {(one.method, one.path) for _, one in operations()}
    assert served() - told == set()
    assert told - served() == set()


def test_no_operation_is_told_twice() -> None:
    told = [(one.method, one.path) for _, one in operations()]
    assert len(told) == len(set(told))
    ids = [one["operationId"] for path in document()["paths"].values() for one in path.values()]
    assert len(ids) == len(set(ids)) == len(told)


def test_every_reference_leads_somewhere() -> None:
    schemas = document()["components"]["schemas"]
    text = json.dumps(document())
    assert {name for name in re.findall(r"#/components/schemas/(\w+)", text) if name not in schemas} == set()
    assert sum(len(part.SCHEMAS) for _, part in PARTS) + 1 == len(schemas)


def test_paths_have_their_parameters() -> None:
    told = [(one.path, {param.name for param in one.params if param.place == "path"}) for _, one in operations()]
    assert told == [(path, set(re.findall(r"\{(\w+)\}", path))) for path, _ in told]
    assert ("/v1/tokens/{id}", {"id"}) in told


def test_each_tells_who_may_and_what_refuses() -> None:
    security = document()["components"]["securitySchemes"]
    assert len([*operations()]) > 40
    for _, one in operations():
        assert set(one.asks) <= set(security)
        codes: Any = refusals(one)
        assert 405 in codes and (401 in codes) is (bool(one.asks) or one.path in LOGINS)


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
async def test_both_are_open_to_all(path: str) -> None:
    answer = await Asking().ask(path, secret=None)
    assert answer.status == 200 and answer.headers["cache-control"] == "no-store"
    if path == "/docs":
        text = answer.body.decode()
        assert re.findall(r"<script(.*?)>(.*?)</script>", text, re.S) == re.findall(
            r'<script( src="/static.*?)>()', text
        )
        paths = [one.path.replace("&", "&amp;") for _, one in operations()]
        assert len(paths) > 40 and all(f"<code>{path}</code>" in text for path in paths)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    else:
        assert answer.json()["openapi"] == "3.1.0" and len(answer.json()["paths"]) > 40


def test_the_cookie_is_named_as_it_is() -> None:
    names = [
        document(*name)["components"]["securitySchemes"]["session"]["name"] for name in ((), ("__Host-ftgate_session",))
    ]
    assert names == ["ftgate_session", "__Host-ftgate_session"]
