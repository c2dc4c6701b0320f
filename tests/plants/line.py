"""The line: one call from its key to its settled money."""

from tests.plants.plant import Plant

_CALLERS = "tests/line/test_two_callers.py"
PLANTS = (
    Plant(
        "the plan that is kept forgets which models the caller's plan may use",
        "ftgate/line/gate.py",
        "place = (ask.names, ask.routing, grade, key.models, terms.models, x.call.dialect.NAME)",
        "place = (ask.names, ask.routing, grade, key.models, x.call.dialect.NAME)",
        _CALLERS,
    ),
    Plant(
        "the plan that is kept forgets which models the key may use",
        "ftgate/line/gate.py",
        "place = (ask.names, ask.routing, grade, key.models, terms.models, x.call.dialect.NAME)",
        "place = (ask.names, ask.routing, grade, terms.models, x.call.dialect.NAME)",
        _CALLERS,
    ),
    Plant(
        "the plan that is kept forgets the routing that was asked for",
        "ftgate/line/gate.py",
        "place = (ask.names, ask.routing, grade, key.models, terms.models, x.call.dialect.NAME)",
        "place = (ask.names, grade, key.models, terms.models, x.call.dialect.NAME)",
        _CALLERS,
    ),
    Plant(
        "the plan that is kept forgets how hard the call is",
        "ftgate/line/gate.py",
        "place = (ask.names, ask.routing, grade, key.models, terms.models, x.call.dialect.NAME)",
        "place = (ask.names, ask.routing, key.models, terms.models, x.call.dialect.NAME)",
        _CALLERS,
    ),
    Plant(
        "the headers that are kept made forget the credential: a channel with two keys signs with the first",
        "ftgate/line/attempt.py",
        "place = id(channel), id(credential), stream",
        "place = id(channel), 0, stream",
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
