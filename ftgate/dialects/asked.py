"""What a request of any dialect says to ftgate itself: which models, and how to choose among them. These fields never
go upstream."""

from ftgate.dialects.brought import FIELD
from ftgate.dialects.fields import Fields, typed
from ftgate.errors import InvalidRequest

OWN_FIELDS = ("routing", "models", FIELD)
UNPRICED = ("service_tier", "prompt_cache_retention", "plugins", "web_search_options", "search_parameters")
"""Fields of OpenAI's dialects that never go up: they change a price, or add calls that cost beside the tokens."""
SELDOM_TAKEN = ("prompt_cache_key", "safety_identifier", "verbosity")
"""Fields of OpenAI's that only tune or label, and that many of its dialects' upstreams refuse. What is translated holds
them only for a channel that is known to take them."""
STRATEGIES = ("auto", "cheapest", "fallback", "fastest")
MAX_NAMES = 32
"""Models that one request may name: each is looked up on the loop."""


def models_asked(fields: Fields) -> tuple[tuple[str, ...], str]:
    """The models asked for, in order, and the strategy. Raises InvalidRequest."""
    model = typed(fields, "model", str, "a model's name")
    models = typed(fields, "models", list[str], "a list of model names")
    strategy = typed(fields, "routing", str, "one of " + ", ".join(STRATEGIES))
    return names_of(fields, model, models, strategy)


def names_of(
    fields: Fields, model: str | None, models: list[str] | None, strategy: str | None
) -> tuple[tuple[str, ...], str]:
    """The same, where the fields have been read: `model` comes first, then `models`. Raises InvalidRequest."""
    names = (model,) if model and not models else tuple(dict.fromkeys([*([model] if model else ()), *(models or ())]))
    if not names:
        raise InvalidRequest(
            "`model` is missing; GET /v1/models lists what this key may use", code="missing_field", param="model"
        )
    if (strategy or "auto") not in STRATEGIES:
        raise InvalidRequest(f"`routing` is one of {', '.join(STRATEGIES)}", param="routing")
    if len(names) > MAX_NAMES:
        raise InvalidRequest(f"`models` may name {MAX_NAMES} models at most", param="models")
    return names, strategy or "auto"
