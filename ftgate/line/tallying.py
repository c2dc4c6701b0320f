"""A call as metrics count it (core.tally), once its row is made."""

from ftgate.core.tally import NONE, Tally
from ftgate.line.call import Exchange
from ftgate.ports import Row


def count(tally: Tally, x: Exchange, row: Row, *, cost: int, lost: int) -> None:
    """Count an ended call, and with it its last attempt, unless that has failed before. `cost` and `lost` in units, as
    they came out."""
    model, tried = NONE, False
    if x.tried:
        last = x.tried[-1]
        tried, way = not last.ended, last.candidate
        if way.model.name in way.channel.models:
            model = way.model.name
    place = (model, row.provider or NONE, row.channel or NONE, row.status, row.mode, row.stream)
    tally.call(place, row, cost, tried=tried)
    if lost:
        tally.loss("overrun", lost)
