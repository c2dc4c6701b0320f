"""What a call costs: its bound before the hold, its charge at the end. Pure decisions over an Exchange.

What is charged is the sum over the attempts, each at its own price. A price that depends on the hour is that of the
moment in which the call came, for its hold as for its charge, however long it takes:

    failed before content             nothing
    complete, usage believed          the usage
    complete, no usage or absurd      the meter's count, marked estimate
    cut after content                 the prompt and what was read, marked estimate
    client left after it went up      the same (a channel's setting can make leaving before content free)
"""

import msgspec

from ftgate.core import estimate, pricing
from ftgate.core.routing import Candidate, Model
from ftgate.core.usage import NONE_USED, UNKNOWN_BOUND, Measured, Usage, judge
from ftgate.line.call import Exchange, Offered, Prompt, Tried

FAR = 2
PADDING = 2_000
"""A provider's prompt count is believed, but the operator hears of one above FAR times our bound for it and PADDING
tokens, which a provider's own instructions may take."""


def prompt_of(x: Exchange, model: Model) -> Prompt:
    """The prompt at this model: text by estimate, media by the model's per-item bound. Counted once a call for each
    bound that a channel states of media: two may state different ones for one model."""
    place = model.name, model.image_tokens
    known = x.counts.get(place)
    if known is not None:
        return known
    ask = x.ask
    whole = x.ratios.scale("prompt", model.name, ask.prompt)
    if ask.images or ask.audios or ask.files:
        media = ask.images * (model.image_tokens or estimate.IMAGE_TOKENS)
        media += ask.audios * estimate.AUDIO_TOKENS + ask.files * estimate.FILE_TOKENS
        whole += estimate.tokens(media)
    longest = whole if ask.longest is None else x.ratios.scale("prompt", model.name, ask.longest)
    counted = x.counts[place] = Prompt(whole, longest)
    return counted


def likely_tokens(x: Exchange, model: Model) -> int:
    """Tokens to borrow of a token limit until the call ends: its likely prompt, and its cap or what an uncapped answer
    likely takes."""
    prompt = prompt_of(x, model)
    limit = model.output_limit(prompt.longest.bound)
    return prompt.whole.likely + x.ask.answers * (x.ask.cap or min(limit, pricing.SMALLEST_CAP))


def quote(x: Exchange, candidate: Candidate) -> pricing.Quote:
    """What the call can cost at most at this candidate."""
    model = candidate.model
    prompt = prompt_of(x, model)
    limit = model.output_limit(prompt.longest.bound)
    return pricing.Quote(
        price=model.price_at(x.created_at_us) if model.hours else model.price,
        prompt_tokens=prompt.whole.bound, answers=x.ask.answers, cap=x.ask.cap,
        model_limit=limit, uncapped=0 if model.thinking_in_cap else limit, binds=candidate.cap_field is not None,
        max_output=model.max_output, likely_tokens=prompt.whole.likely,
    )  # fmt: skip


def cap_for(x: Exchange, offered: Offered) -> int | None:
    """The output cap that goes up to this candidate: the client's, else what the held amount buys here; None where none
    is due."""
    assert x.held is not None
    if x.ask.cap is not None:
        most = offered.way.model.max_output
        return x.ask.cap if most is None else min(x.ask.cap, most)
    return offered.quote().cap_within(x.held.amount, x.multiplier) if x.held.bounded else None


def covered(x: Exchange, offered: Offered) -> bool:
    """Whether what is held pays a useful answer of this candidate too."""
    assert x.held is not None
    return not x.held.bounded or pricing.times(offered.quote().least, x.multiplier) <= x.held.amount


def drained_enough(x: Exchange, tried: Tried) -> bool:
    """Whether what has come since its client left costs as much as a drain may."""
    tokens, channel = tried.meter.output(), tried.candidate.channel
    if tried.left_at is None:
        tried.left_at = tokens
    price = tried.candidate.model.price_at(x.created_at_us)
    return pricing.charge(price, Usage(output=tokens - tried.left_at)) >= channel.drain_most


def charge(x: Exchange) -> tuple[int | None, list[str]]:
    """Units to post for all attempts, and what to tell the operator. None voids the hold: nothing was delivered,
    nothing is to be paid. Leaves the measured usage in x.measured, and each price and usage charged in x.charged."""
    charges: list[int] = []
    remarks: list[str] = []
    for tried in x.tried:
        measured = _measure(x, tried)
        if measured is None:
            continue
        x.measured = measured
        model = tried.candidate.model
        price = model.price_at(x.created_at_us) if model.hours else model.price
        x.charged.append((price, measured.usage))
        tried.cost = pricing.charge(price, measured.usage)
        charges.append(tried.cost)
        remarks += _remarks(x, tried, measured)
    return (pricing.total(charges, x.multiplier) if charges else None), remarks


def _remarks(x: Exchange, tried: Tried, measured: Measured) -> list[str]:
    """What is refused, and what is believed or passed over and worth a look all the same."""
    channel, remarks = tried.candidate.channel.name, []
    if measured.rejected:
        remarks.append(f"usage from {channel} refused: {measured.rejected}")
    counted = measured.usage.prompt if measured.exact else 0
    if counted > PADDING and counted > FAR * (bound := prompt_of(x, tried.candidate.model).whole.bound) + PADDING:
        remarks.append(f"{channel} counts {counted} prompt tokens where {bound} are the most that was sent")
    if x.ask.cap is None and tried.cap is not None and _cut_by_us(x, tried, measured):
        remarks.append(f"the answer ended at {tried.cap} tokens: no more were held for it, and its caller set no cap")
    if tried.meter.unread:
        remarks.append(f"{tried.meter.unread} events of {channel} were no JSON and were left out")
    return remarks


def _cut_by_us(x: Exchange, tried: Tried, measured: Measured) -> bool:
    """Whether an answer came to the end of our cap, which is what the hold paid, where its model would have gone on."""
    assert tried.cap is not None
    model = tried.candidate.model
    most = model.output_limit(prompt_of(x, model).longest.bound)
    return tried.cap < most and measured.usage.output >= tried.cap * x.ask.answers


def _measure(x: Exchange, tried: Tried) -> Measured | None:
    """What one attempt is charged for; None is nothing. The rules of this file's head, in order."""
    model, meter = tried.candidate.model, tried.meter
    if tried.failed:
        return None
    prompt_bound, output_bound = _bounds(x, tried)
    if tried.complete and meter.reported is not None:
        believed = judge(
            meter.reported,
            NONE_USED,
            prompt_bound=prompt_bound,
            output_bound=output_bound,
            content_seen=meter.content_seen,
        )
        if believed.exact:  # nearly always, and then nothing need be counted
            return believed
    delivered = meter.output(x.ratios.scale("output", model.name, meter.counted()))
    # What was delivered is counted even past the cap that the upstream should have kept: books.py posts, overruns and
    # records the loss. Only what no model writes is cut off.
    counted = Usage(
        input=min(max(prompt_of(x, model).whole.likely, 1), prompt_bound),
        output=min(delivered, x.ask.answers * _longest(model)),
    )
    left = (
        x.call.left
        and tried.sending.sent
        and (meter.content_seen or tried.candidate.channel.charge_left_before_content)
    )
    if not (tried.complete or x.answering or left):
        return None  # ended before content by a limit, a shutdown or an error: the caller did not choose to leave
    reported = meter.reported
    if reported == NONE_USED and not tried.complete:
        reported = None  # zeros before an end say nothing
    if reported is not None and not tried.complete:
        # Cut. What a usage said before stands for the prompt; the output is at least what was read.
        reported = msgspec.structs.replace(reported, output=max(reported.output, min(counted.output, output_bound)))
    measured = judge(
        reported,
        counted,
        prompt_bound=prompt_bound,
        output_bound=output_bound,
        content_seen=meter.content_seen,
        malformed=meter.malformed,
    )
    if tried.complete:
        return measured
    usage = msgspec.structs.replace(measured.usage, output=max(measured.usage.output, counted.output))
    return Measured(usage, exact=False, rejected=measured.rejected)


def learn(x: Exchange) -> None:
    """Teach the estimator from an exact usage: the prompt where it was only text, the output where nothing of it was
    hidden."""
    if x.measured is None or not x.measured.exact:
        return
    tried = x.tried[-1]
    model = tried.candidate.model.name
    if not x.ratios.wants(model):
        return
    usage, ask = x.measured.usage, x.ask
    if not (ask.images or ask.audios or ask.files):
        x.ratios.learn("prompt", model, ask.prompt.likely_milli, usage.prompt)
    if not (usage.reasoning or tried.meter.media):
        x.ratios.learn("output", model, tried.meter.counted().likely_milli, usage.output)


def _bounds(x: Exchange, tried: Tried) -> tuple[int, int]:
    """Tokens of prompt (all prompts) and of output (all answers) past which a count is absurd."""
    model, cap = tried.candidate.model, tried.cap
    most = _longest(model)
    if cap is None or tried.candidate.cap_field is None:
        cap = most
    elif not model.thinking_in_cap:
        cap += most
    return x.ask.prompts * (model.context or UNKNOWN_BOUND), x.ask.answers * cap


def _longest(model: Model) -> int:
    """Tokens that one answer of this model cannot pass."""
    return max(model.max_output or 0, model.context or 0) or UNKNOWN_BOUND
