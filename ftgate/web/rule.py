"""The routes' rules, which read addresses and write none."""

from collections.abc import Callable

from quart.routing import QuartRule


class ReadingRule(QuartRule):
    """A rule without the two functions that `url_for` would call, which nobody here does: to compile them would be a
    tenth of a second of each start, nearly all that the routes take."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        return _unwritten


def _unwritten(rule: ReadingRule, **_: object) -> tuple[str, str]:
    raise NotImplementedError(f"addresses of {rule.rule} are written by hand")
