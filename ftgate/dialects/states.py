"""The states of a streamed answer, from its first byte to its end: one table for every dialect.

A reader turns what comes into signs, and the table says where each sign leads. What a state means to the client, to
the next candidate and to the money follows from the state alone, so nobody else keeps a flag of his own:

    pending    Nothing has come that a client may want. What came is kept back, and the attempt can fail over.
    content    Some of the answer is the client's. There is no second attempt; only a finish makes this a whole answer.
    finished   Every answer that began has said why it ended. Usage and the end marker are awaited, and what the
               upstream still says passes on.
    done       The end marker stood where it belongs. Nothing more passes on; some put their usage here.
    ended      The body ended where it may. The answer is whole, with a marker or without.
    failed     It went wrong while nothing had gone to the client: a failed attempt, which costs nothing.
    broken     It went wrong after that: the client is told in the stream, and pays for what was delivered.

The signs:

    quiet      An event without content: a role, an empty delta, a filter's result.
    full       What is kept back has grown past its bound. It is the client's then: nothing of an answer is dropped to
               stay able to fail over.
    content    An event that holds something the client may want (DESIGN, "What counts as content").
    finish     An event with which the last answer that had begun ended. It starts the answer without being content.
    more       A further answer (n > 1) began after all had ended.
    mark       The end marker. Before the finish it marks the end of something that is no answer, or not a whole one.
    wrong      An error inside the stream, or an event that cannot be read.
    close      The clean end of the body. That it was cut is the transport's word, and no sign: the attempt ends there,
               failed or broken as `begun` says.

A finish is no content, but it begins the answer: a model may have nothing to say, and that is an answer.
"""

from collections.abc import Mapping
from enum import Enum


class Sign(Enum):
    quiet = "quiet"
    full = "full"
    content = "content"
    finish = "finish"
    more = "more"
    mark = "mark"
    wrong = "wrong"
    close = "close"

    __hash__ = object.__hash__  # Enum's own is Python code, and each event asks for it


class State(Enum):
    pending = "pending"
    content = "content"
    finished = "finished"
    done = "done"
    ended = "ended"
    failed = "failed"
    broken = "broken"

    __hash__ = object.__hash__


BEGUN = frozenset({State.content, State.finished, State.done, State.ended, State.broken})
"""States in which something of the answer is the client's."""
WHOLE = frozenset({State.done, State.ended})
"""States in which the answer is whole, and is paid as one."""
OVER = frozenset({State.done, State.ended, State.failed, State.broken})
"""States in which nothing more is passed on."""

TABLE: Mapping[State, Mapping[Sign, State]] = {
    State.pending: {
        Sign.quiet: State.pending,
        Sign.full: State.content,
        Sign.content: State.content,
        Sign.finish: State.finished,
        Sign.more: State.pending,
        Sign.mark: State.failed,
        Sign.wrong: State.failed,
        Sign.close: State.failed,
    },
    State.content: {
        Sign.quiet: State.content,
        Sign.full: State.content,
        Sign.content: State.content,
        Sign.finish: State.finished,
        Sign.more: State.content,
        Sign.mark: State.broken,
        Sign.wrong: State.broken,
        Sign.close: State.broken,
    },
    State.finished: {
        Sign.quiet: State.finished,
        Sign.full: State.finished,
        Sign.content: State.finished,
        Sign.finish: State.finished,
        Sign.more: State.content,
        Sign.mark: State.done,
        Sign.wrong: State.broken,
        Sign.close: State.ended,
    },
    State.done: dict.fromkeys(Sign, State.done),
    State.ended: dict.fromkeys(Sign, State.ended),
    State.failed: dict.fromkeys(Sign, State.failed),
    State.broken: dict.fromkeys(Sign, State.broken),
}
