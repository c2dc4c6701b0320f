"""What one call is expected to cost and to take at each place where it could go (core.ranking.View)."""

from ftgate.core import pricing
from ftgate.core.pace import Pace
from ftgate.core.routing import Spot
from ftgate.core.usage import Usage
from ftgate.line.call import Exchange
from ftgate.line.charge import prompt_of


class Outlook:
    """Made for a plan; what it has looked up it keeps."""

    def __init__(self, x: Exchange, pace: Pace, now: float) -> None:
        self.x = x
        self.pace = pace
        self.now = now
        self.costs: dict[tuple[str, str], int] = {}

    def output(self, spot: Spot) -> int:
        """Tokens of all its answers: what is known of such answers, at most the caller's cap."""
        ask = self.x.ask
        if self.x.call.dialect.KIND == "embeddings":
            return 0
        likely = self.pace.output(spot.place, self.now)
        return ask.answers * (likely if ask.cap is None else min(likely, ask.cap))

    def cost(self, spot: Spot) -> int:
        """Units, with the plan's factor."""
        found = self.costs.get(spot.place)
        if found is None:
            usage = Usage(input=prompt_of(self.x, spot.model).whole.likely, output=self.output(spot))
            charge = pricing.charge(spot.model.price_at(self.x.created_at_us), usage)
            found = self.costs[spot.place] = pricing.times(charge, self.x.multiplier)
        return found

    def first_s(self, spot: Spot) -> float | None:
        return self.pace.first_s(spot.place, self.now)

    def seconds(self, spot: Spot) -> float | None:
        return self.pace.seconds(spot.place, self.now, self.output(spot))
