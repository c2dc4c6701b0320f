"""The settings of a channel, of its models and of a provider, each declared once, as in settings.py."""

from collections.abc import Mapping
from typing import Annotated as A

import msgspec

from ftgate.config.note import YEAR_S, Note
from ftgate.core.pricing import Hours, Tier
from ftgate.core.routing import Timeouts
from ftgate.core.secret import Secret


class ModelSettings(msgspec.Struct, frozen=True):
    """[channel.models."NAME"] or [provider.X.models."NAME"] as written; only what is given is laid over the catalogue's
    model of the same name."""

    upstream: A[
        str | None,
        Note("The name the provider uses, if another.", "callers keep one name when providers change theirs."),
    ] = None
    like: A[
        str | None,
        Note(
            "A model of the provider's that it is, under a name of your own.",
            "an endpoint's id (ep-…) has its model's price.",
        ),
    ] = None
    input: A[
        int | None,
        Note(
            "USD per 1M input tokens.", "a model without a price is refused: it would be billed nothing.", kind="price"
        ),
    ] = None
    output: A[int | None, Note("USD per 1M output tokens.", "as input.", kind="price")] = None
    cached: A[
        int | None,
        Note("USD per 1M input tokens read from a cache.", "absent, they cost the input price.", kind="price"),
    ] = None
    cache_write: A[
        int | None,
        Note("USD per 1M input tokens written to a cache.", "absent, they cost the input price.", kind="price"),
    ] = None
    cache_write_1h: A[
        int | None, Note("The same for a cache kept one hour.", "absent, they cost the input price.", kind="price")
    ] = None
    per_request: A[
        int | None,
        Note("USD for each request beside its tokens.", "some providers charge searches this way.", kind="usd"),
    ] = None
    tiers: A[
        tuple[Tier, ...] | None,
        Note("Other prices above a prompt length.", "long prompts are dearer at some providers.", kind="tiers"),
    ] = None
    hours: A[
        tuple[Hours, ...] | None,
        Note("Other prices at certain hours (UTC).", "some providers are cheaper at night.", kind="hours"),
    ] = None
    context: A[
        int | None,
        Note("Tokens of prompt and answer together.", "a call that cannot fit is not sent.", low=1, high=10**9),
    ] = None
    max_output: A[int | None, Note("Tokens one answer can have.", "it bounds the hold.", low=1, high=10**9)] = None
    kind: A[
        str | None,
        Note("What the model is for.", "an embeddings model cannot chat.", choices=("chat", "embeddings")),
    ] = None
    cap_field: A[
        str | None,
        Note(
            "The request field that caps the output.",
            "a cap that does not bind is no cap.",
            choices=("max_tokens", "max_completion_tokens", "none"),
        ),
    ] = None
    thinking_in_cap: A[
        bool | None, Note("Whether the cap counts hidden thinking.", "else thinking must be held beside it.")
    ] = None
    image_tokens: A[
        int | None, Note("The most tokens one image can count.", "an image's length in bytes says nothing.", high=10**7)
    ] = None
    tags: A[
        tuple[str, ...] | None,
        Note("Words for the model; `reasoning`: it can be told how much to think.", "tables show them."),
    ] = None
    best_for: A[str | None, Note("What it is good at, in a few words.", "the price table shows it.", kind="words")] = (
        None
    )


class ProviderOverride(msgspec.Struct, frozen=True):
    """[provider.NAME]: other addresses, prices and models than the catalogue's, for channels and BYOK calls alike. None
    keeps the catalogue's."""

    base_url: A[
        str | None,
        Note(
            "The provider's address for its own dialect.",
            "a region, a mirror or a test server.",
            kind="url",
            shown='"https://api.deepseek.com/v1"',
        ),
    ] = None
    anthropic_base_url: A[
        str | None,
        Note(
            "Its address for Anthropic's dialect.",
            "it differs from the other one at most providers.",
            kind="url",
            shown='"https://api.deepseek.com/anthropic/v1"',
        ),
    ] = None
    responses_base_url: A[
        str | None,
        Note(
            "Its address for OpenAI's Responses.",
            "not every provider has one.",
            kind="url",
            shown='"https://api.deepseek.com/v1"',
        ),
    ] = None
    models: A[
        Mapping[str, ModelSettings],
        Note(
            "Its models and their prices, over the catalogue's.", "`ftgate prices import` writes them.", kind="section"
        ),
    ] = {}


class ChannelSettings(msgspec.Struct, frozen=True):
    """[[channel]] as written."""

    name: A[str, Note("The channel's name in logs and commands.", "an operator must be able to point at it.")]
    provider: A[
        str,
        Note(
            'A provider of the catalogue, or "openai-compatible" or "anthropic-compatible".',
            "addresses, models and prices come from there.",
        ),
    ]
    keys: A[tuple[Secret, ...], Note("Provider keys, used in turn, each with its own cool-down.", "env: and file: "
    "keep secrets elsewhere.",
                                     kind="keys")] = ()  # fmt: skip
    base_url: A[
        str | None,
        Note(
            "The whole prefix; /chat/completions and its like, or /messages, are appended.",
            "paths differ between providers.",
            kind="url",
        ),
    ] = None
    anthropic_base_url: A[
        str | None,
        Note("The same for Anthropic's dialect; /messages is appended.", "some servers speak both.", kind="url"),
    ] = None
    responses_base_url: A[
        str | None,
        Note("The same for OpenAI's Responses; /responses is appended.", "some servers speak both.", kind="url"),
    ] = None
    priority: A[
        int, Note("Lower numbers are tried first.", "cheap ways first, dear ones in need.", low=-1000, high=1000)
    ] = 0
    weight: A[
        int,
        Note(
            "The share of calls among channels of one priority; 0 takes none.",
            "load is spread as you say.",
            high=1_000_000,
        ),
    ] = 1
    on_client_gone: A[
        str | None,
        Note("When the client leaves: abort stops at once, drain reads on to the usage.", "by default only "
        "hidden-reasoning models drain.",
             choices=("abort", "drain")),
    ] = None  # fmt: skip
    drain_seconds: A[
        float,
        Note(
            "How long a drain may take.",
            "its call keeps its places in all limits until then.",
            above=True, high=YEAR_S,
        ),
    ] = 120.0  # fmt: skip
    drain_usd: A[
        int,
        Note("What may still come during a drain, in USD of the channel's price.", "nobody reads it.", kind="usd"),
    ] = 5 * 10**11
    timeouts: A[Timeouts | None, Note("Its own time limits; what is not given is as in "
    "[timeouts].", "a slow box at home is no cloud.",
                                      kind="section")] = None  # fmt: skip
    affinity: A[
        str,
        Note(
            "Send a conversation where it was last: known by key (prompt_cache_key, user) or prefix.",
            "upstream caches stay warm, and calls are less evenly spread.",
            choices=("off", "key", "prefix"),
        ),
    ] = "off"
    charge_left_before_content: A[
        bool, Note("Charge the prompt when the client left before content.", "the provider charges it too.")
    ] = True
    headers: A[
        Mapping[str, str], Note("Headers sent along.", "some providers want a project or a referer.", kind="headers")
    ] = {}
    query: A[
        Mapping[str, str], Note("Query parameters sent along.", "some providers want a version there.", kind="pairs")
    ] = {}
    ca_file: A[
        str | None,
        Note(
            "Certificates (PEM) to trust instead of the system's.",
            "a private server has a private authority.",
            kind="authorities",
            shown='"/etc/ftgate/authority.pem"',
        ),
    ] = None
    drop_params: A[tuple[str, ...], Note("Request fields left out.", "some servers refuse what they do not know.")] = ()
    monthly_cap: A[int | None, Note("USD we may spend here in a month.", "a mistake stays affordable.", kind="usd")] = (
        None
    )
    models_only: A[
        bool, Note("The channel's own models replace the catalogue's.", "a plan or a box may serve few.")
    ] = False
    proxy: A[
        str | None,
        Note("A proxy to reach it through (http, https, socks5).", "some networks have one way out.", kind="proxy"),
    ] = None
    http2: A[bool, Note("Speak HTTP/2 to it.", "HTTP/1.1 is faster here.")] = False
    models: A[
        Mapping[str, ModelSettings],
        Note("Models beside the catalogue's.", "new models come before new releases.", kind="section"),
    ] = {}
