"""A call in another dialect than its caller's: what was asked as it is said there, and who writes the answer.

What is asked is put into neutral words once a call at the most, and into each other dialect once; a call that stays in
its own never is. That takes as long as the request is large: for a large one it is done beforehand, in a thread.
"""

from collections.abc import Iterable
from hashlib import sha256
from urllib.parse import urlsplit

import msgspec

from ftgate import dialects
from ftgate.core.routing import Address, Candidate
from ftgate.dialects.neutral import Talk
from ftgate.dialects.talk import Ask, Dialect, Told, Writer
from ftgate.errors import InvalidRequest
from ftgate.line.call import Exchange
from ftgate.line.charge import prompt_of
from ftgate.ports import Clock


def asked_in(x: Exchange, dialect: str) -> Ask:
    """What is asked, in the words of this dialect. Raises InvalidRequest where they cannot say it."""
    if dialect == x.call.dialect.NAME:
        return x.ask
    said = x.said.get(dialect)
    if said is None:
        try:
            said = said_in(dialects.ALL[dialect], x.ask, _talk(x))
        except InvalidRequest as unfit:
            said = unfit
        x.said[dialect] = said
    if isinstance(said, InvalidRequest):
        raise said
    return said


def said_in(dialect: Dialect, ask: Ask, talk: Talk) -> Ask:
    """The same ask with the fields that say this talk in another dialect. Raises InvalidRequest, also where nothing is
    said: a conversation of empty texts would be none there."""
    if not talk.says:
        raise InvalidRequest(f"`{ask.prompt_field}`: somebody must say something", param=ask.prompt_field)
    fields = dialect.render_talk(talk)
    if ask.stream:
        fields["stream"] = True
    return msgspec.structs.replace(
        ask,
        fields={name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()},
        talk=talk,
    )


def _talk(x: Exchange) -> Talk:
    """What is asked in neutral words. Raises InvalidRequest where they cannot say it."""
    talk = x.talk
    if talk is None:
        try:
            talk = x.call.dialect.talk_of(x.ask)
        except InvalidRequest as unsaid:
            talk = unsaid
        x.talk = talk
    if isinstance(talk, InvalidRequest):
        raise talk
    return talk


def maker_of(address: Address) -> str:
    """Who seals what is thought at this address: the server, whatever its channel or model is called. Callers see it,
    so it is a mark that tells two servers apart and says nothing of either."""
    return sha256(urlsplit(address.url).netloc.encode()).hexdigest()[:4]


def writer_for(x: Exchange, candidate: Candidate, clock: Clock) -> Writer:
    """Who writes this candidate's answer in the caller's dialect."""
    told = Told(
        ask=x.ask, talk=_talk(x), id=x.call.id, created=x.created_at_us // 1_000_000, model=candidate.model.name,
        prompt=prompt_of(x, candidate.model).whole.likely, now=lambda: clock.wall_us() // 1_000_000,
        maker=maker_of(candidate.address),
    )  # fmt: skip
    return x.call.dialect.Writer(told)


def fitting(x: Exchange, way: Candidate) -> Candidate | None:
    """This candidate at the first of its channel's addresses whose dialect can say what is asked; None where none can,
    and then x.unfit says why."""
    if way.address.dialect == x.call.dialect.NAME:
        return way
    agent = x.ask.has_tools and way.model.thinks is True and (x.ask.cap is None or x.ask.cap >= dialects.LEAST_CAP)
    for dialect in dialects.translating(x.call.dialect, thinks_with_tools=agent):
        if address := way.channel.addresses.get(dialect):
            try:
                asked_in(x, dialect)
            except InvalidRequest as why:
                x.unfit = x.unfit or why
            else:
                return way if address is way.address else msgspec.structs.replace(way, address=address)
    return None


def fit_all(x: Exchange, ways: Iterable[Candidate]) -> None:
    """Find where each of these candidates can be asked, so that fitting() knows it from here on."""
    for way in ways:
        fitting(x, way)


def first_fitting(x: Exchange, ways: Iterable[Candidate]) -> Candidate | None:
    """The first of these candidates that can be asked, as fitting() has it."""
    return next((fit for way in ways if (fit := fitting(x, way)) is not None), None)
