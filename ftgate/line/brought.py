"""Calls that bring a provider key of their own (BYOK): whose key it is, and where such a call may go.

It goes to that provider alone, whatever fails there, and by the caller's key alone. Nothing about it is kept when it
has ended: no plan, no header, no word on how a channel or a credential stands, nothing that its counts would teach.
"""

import re

import msgspec

from ftgate import dialects
from ftgate.core.routing import PREFIX, Candidate, Channel, Model
from ftgate.dialects.brought import FIELD, HEADER, Brought, in_body
from ftgate.dialects.talk import Dialect
from ftgate.errors import Forbidden, InvalidRequest
from ftgate.line.call import Exchange
from ftgate.ports import BYOK, STANDARD, Key, Taker, Terms

_NAME = re.compile(r"[\x21-\x7e]{1,200}")
"""What a model may be called that only its provider knows: the name stands in a header of the answer."""


def ways_of(x: Exchange, key: Key, terms: Terms) -> tuple[Candidate, ...]:
    """The candidates of a call that brings a key; none where `provider_key` is null and no header brings one. Raises
    what the caller can mend."""
    x.mode = BYOK  # also where it is refused
    in_fields = in_body(x.ask.fields)
    brought = in_fields or x.call.brought
    if brought is None:
        x.mode = STANDARD
        return ()
    if None not in (in_fields, x.call.brought) and in_fields != x.call.brought:
        raise InvalidRequest(f"`{FIELD}` and {HEADER} differ; send one of them", param=FIELD)
    param = f"{FIELD}.provider" if in_fields else HEADER
    taker = _taker(x, brought, param)
    channel = taker.channel
    dialect = x.call.dialect
    spoken = next((d for d in dialects.translating(dialect) if d in channel.addresses), None)
    if spoken is None:
        raise InvalidRequest(f"{channel.provider} is not spoken to in {dialect.NAME}, or in its like", param=param)
    names = [_bare(channel, dialect, name) for name in x.ask.names]
    models = [_model(x, taker, name, key, terms) for name in names]
    found = {
        model.upstream: Candidate(channel, channel.addresses[spoken], brought.secret, model, brought=True)
        for model in reversed(models)
    }  # of two names of one model the first
    return tuple(reversed(found.values()))


def _taker(x: Exchange, brought: Brought, param: str) -> Taker:
    known = x.settings.takers
    taker = known.get(brought.provider)
    if taker is None:
        raise InvalidRequest(
            f"the provider of a key is one of {', '.join(known)}: these have an address of their own here", param=param
        )
    return taker


def _bare(channel: Channel, dialect: Dialect, name: str) -> str:
    """A name without Anthropic's prefix, as routing.Routes.bare has it."""
    rest = name.removeprefix(PREFIX) if dialect.NAME in dialects.PREFIXED else name
    return rest if name not in channel.models and rest in channel.models else name


def _model(x: Exchange, taker: Taker, name: str, key: Key, terms: Terms) -> Model:
    """The model that is called so, at this provider: one of ours, or one that only the provider knows."""
    kind, known = x.call.dialect.KIND, taker.channel.models.get(name)
    if known is not None and known.kind != kind:
        words = f"{name} is a model for {known.kind}, and this route is for {kind}"
        raise InvalidRequest(words, code="invalid_value", param="model")
    if known is None and (name == "auto" or not _NAME.fullmatch(name)):
        words = "with a provider key of your own name one of the provider's models"
        raise InvalidRequest(words, code="model_not_found", param="model")
    permits = x.settings.routes.permits
    if not all(
        any(permits(models, n) for n in (name, known.name if known else name)) for models in (key.models, terms.models)
    ):
        raise Forbidden(f"This API key may not use the model {name!r}", code="model_not_allowed", param="model")
    return known or msgspec.structs.replace(taker.stranger, name=name, upstream=name, kind=kind)
