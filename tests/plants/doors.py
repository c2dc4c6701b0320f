"""The doors: whose key a request shows, what of it is read, and that what is written stays whole."""

from tests.plants.plant import Plant

PLANTS = (
    Plant(
        "a request that shows two keys is billed to the first",
        "ftgate/doors/http.py",
        'if shown and key not in (shown, b""):',
        "if False:",
        "tests/doors/test_http.py",
    ),
    Plant(
        "a provider key of the caller's own is passed over, and the call billed",
        "ftgate/doors/intake.py",
        "brought = http.brought_key(brought, value)",
        "pass",
        "tests/doors/test_intake.py",
    ),
    Plant(
        "a connection is kept though half its request was not read",
        "ftgate/doors/fast.py",
        "answer.unread = head.chunked or len(data) < head.length",
        "answer.unread = head.chunked",
        "tests/doors/test_fast.py::test_a_slow_body_is_refused",
    ),
    Plant(
        "a body's room is not given back at the fast door",
        "ftgate/doors/fast.py",
        "            room.free()\n",
        "",
        "tests/doors/test_fast.py::test_cut_anywhere_a_request_is_the_same",
    ),
    Plant(
        "a body's room is not given back at the ASGI door",
        "ftgate/doors/asgi.py",
        "            room.free()\n",
        "            pass\n",
        "tests/doors/test_asgi.py",
    ),
    Plant(
        "a body that comes in pieces may be of any size",
        "ftgate/doors/intake.py",
        "if self.taken + size > most:",
        "if size > most:",
        "tests/doors/test_asgi.py",
    ),
    Plant(
        "a client's leaving is not seen at the ASGI door",
        "ftgate/doors/asgi.py",
        "    call.client_gone()\n",
        "",
        "tests/doors/test_asgi.py",
    ),
    Plant(
        "refusals at the ASGI door lack the CORS headers",
        "ftgate/doors/asgi.py",
        "whole = [*headers, *self._extra, ",
        "whole = [*headers, ",
        "tests/doors/test_asgi.py",
    ),
    Plant(
        "answers of the fast door lack the CORS headers",
        "ftgate/doors/fast.py",
        'headers = [*self.intake.extra_headers, (b"date"',
        'headers = [(b"date"',
        "tests/doors/test_fast.py::test_pages_of_other_origins_may_read_answers_and_refusals",
    ),
    Plant(
        "a write has lost its shield",
        "ftgate/doors/fast.py",
        "with trio.CancelScope(shield=True) as self._writing:",
        "with trio.CancelScope() as self._writing:",
        "tests/doors/test_fast.py::test_a_call_that_is_ended_in_mid_write_leaves_its_answer_whole",
    ),
    Plant(
        "a key that was looked at before a slow body is not looked at again",
        "ftgate/doors/fast.py",
        "key=key if whole else None",
        "key=key",
        "tests/doors/test_fast.py::test_a_key_is_looked_at_again_when_its_body_took_its_time",
    ),
    Plant(
        "two Hosts are one",
        "ftgate/doors/heads.py",
        "hosts == 1 or",
        "hosts >= 1 or",
        "tests/doors/test_fast_smuggling.py",
    ),
    Plant(
        "two lengths are one",
        "ftgate/doors/strict.py",
        "if len(framing) > 1 or (framing and",
        "if (framing and",
        "tests/doors/test_hypercorn.py::test_f6_ambiguous_framing_is_refused",
    ),
    Plant(
        "the log shows what a fault says, which may be a key",
        "ftgate/doors/connections.py",
        "where, type(fault).__name__,",
        "where, fault,",
        "tests/doors/test_hypercorn.py::test_an_exception_ends_its_connection_only",
    ),
)
