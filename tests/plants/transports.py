"""The ways out: what is sent once, what was cut, and which connection is used again."""

from tests.plants.plant import Plant

PLANTS = (
    Plant(
        "the direct transport's kept heads forget the address",
        "ftgate/transports/direct.py",
        "place = id(request.headers), request.url",
        "place = id(request.headers), request.channel",
        "tests/line/test_two_callers.py",
    ),
    Plant(
        "the direct transport's kept heads let the headers go, whose place another's then takes",
        "ftgate/transports/direct.py",
        "known = self._heads[place] = request.headers, _render(",
        "known = self._heads[place] = None, _render(",
        "tests/line/test_two_callers.py",
    ),
    Plant(
        "a connection whose answer is unfinished is kept",
        "ftgate/transports/direct.py",
        "clean=self._incoming.ended and self._incoming.keeps",
        "clean=self._incoming.keeps",
        "tests/transports/test_transports.py::test_connections_and_pools_say_how_they_stand",
    ),
    Plant(
        "a new connection that breaks is tried once more: the prompt may be paid twice",
        "ftgate/transports/outgoing.py",
        "return reused and failed.fault",
        "return failed.fault",
        "tests/transports/test_transports.py::test_reset_before_the_head",
    ),
    Plant(
        "a request that was heard is sent again",
        "ftgate/transports/outgoing.py",
        "is Fault.reset and not heard and",
        "is Fault.reset and",
        "tests/transports/test_transports.py::test_break_after_a_response_byte_is_not_retried",
    ),
    Plant(
        "compressed answers are not asked to stay away",
        "ftgate/transports/outgoing.py",
        'found.append((b"accept-encoding", b"identity"))',
        "pass",
        "tests/transports/test_transports.py::test_plain_answer",
    ),
    Plant(
        "a call's place on its channel is not given back",
        "ftgate/transports/outgoing.py",
        "            self.idle.popleft().close()\n        self.places.release()\n",
        "            self.idle.popleft().close()\n",
        "tests/transports/test_transports.py::test_plain_answer",
    ),
    Plant(
        "a body that was cut passes for whole",
        "ftgate/transports/incoming.py",
        "if not self.ended and (self._chunked or self._left is not None):",
        "if not self.ended and self._chunked:",
        "tests/transports/test_transports.py::test_cut_body",
    ),
    Plant(
        "a connection that the upstream wants to close is kept",
        "ftgate/transports/incoming.py",
        'b"close" not in',
        'b"closed" not in',
        "tests/transports/test_transports.py::test_connection_close_is_honoured",
    ),
    Plant(
        "libraries log addresses with their query, and headers with keys",
        "ftgate/transports/sturdy.py",
        "logging.getLogger(name).setLevel(logging.WARNING)",
        "pass",
        "tests/transports/test_transports.py::test_nothing_of_a_call_is_logged",
    ),
    Plant(
        "a channel's own trust store is not used",
        "ftgate/transports/choice.py",
        "ca_file=channel.ca_file, ",
        "",
        "tests/walk/test_walk.py::test_a_setting_has_its_effect[channel.ca_file]",
    ),
    Plant(
        "connecting takes as long as it likes",
        "ftgate/transports/direct.py",
        "with trio.move_on_after(connect_s):",
        "with trio.move_on_after(10 * connect_s + 5):",
        "tests/transports/test_transports.py::test_connect_limit",
    ),
)
