"""The line: one call from its key to its settled money."""

from tests.plants.plant import Plant

_CALLERS = "tests/line/test_two_callers.py"
_PLACE = "place = (ask.names, ask.routing, grade, key.models, terms.models, x.call.dialect.NAME)"
PLANTS = (
    *(
        Plant(
            f"the plan that is kept forgets {what}", "ftgate/line/gate.py", _PLACE, _PLACE.replace(word, ""), _CALLERS
        )
        for word, what in (
            ("ask.names, ", "the names that were asked for"),
            ("ask.routing, ", "the routing that was asked for"),
            ("grade, ", "how hard the call is"),
            ("key.models, ", "which models the key may use"),
            ("terms.models, ", "which models the caller's plan may use"),
            (", x.call.dialect.NAME", "the dialect"),
        )
    ),
    Plant(
        "the headers that are kept made forget the credential: a channel with two keys signs with the first",
        "ftgate/line/attempt.py",
        "place = id(address), id(credential), stream",
        "place = id(address), 0, stream",
        _CALLERS,
    ),
    Plant(
        "the headers that are kept made forget whether it is a stream",
        "ftgate/line/attempt.py",
        "place = id(address), id(credential), stream",
        "place = id(address), id(credential), 0",
        _CALLERS,
    ),
    Plant(
        "the direct transport's kept heads forget the address",
        "ftgate/transports/direct.py",
        "place = id(request.headers), request.url",
        "place = id(request.headers), request.channel",
        _CALLERS,
    ),
    Plant(
        "the direct transport's kept heads let the headers go, whose place another's then takes",
        "ftgate/transports/direct.py",
        "known = self._heads[place] = request.headers, _render(",
        "known = self._heads[place] = None, _render(",
        _CALLERS,
    ),
)
