"""Rules read addresses alone, as cheaply as they can."""

import pytest
from werkzeug.routing import Map

from ftgate.web.rule import ReadingRule
from tests.web.fakes import Asking


def test_every_route_s_rule_reads_and_none_writes() -> None:
    rules = list(Asking().site.app.url_map.iter_rules())
    assert rules
    for rule in rules:
        assert isinstance(rule, ReadingRule)
        with pytest.raises(NotImplementedError, match="written by hand"):
            rule.build(dict.fromkeys(rule.arguments, "1"))


def test_what_it_reads() -> None:
    paths = Map([ReadingRule("/keys/<id>", endpoint="key"), ReadingRule("/keys", endpoint="keys")]).bind("x")
    assert paths.match("/keys/7") == ("key", {"id": "7"})
    assert paths.match("/keys") == ("keys", {})
