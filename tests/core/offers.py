"""Candidates to be held for, as plain values (pricing.Offer)."""

from ftgate.core.pricing import Quote


class Plain:
    """An offer whose quote is known. `quoted` counts how often it was looked at."""

    def __init__(self, quote: Quote, *, asked: bool = True, context: int = 0, channel: str = "") -> None:
        self._quote = quote
        self.asked = asked
        self.context = context
        self.channel = channel
        self.quoted = 0

    def quote(self) -> Quote:
        self.quoted += 1
        return self._quote


def offers(*quotes: Quote) -> list[Plain]:
    return [Plain(quote) for quote in quotes]
