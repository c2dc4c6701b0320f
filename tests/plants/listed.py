"""All plants, room by room."""

from collections.abc import Mapping

from tests.plants import (
    accounts,
    brought,
    cli,
    config,
    core,
    dialects,
    doors,
    house,
    line,
    manual,
    messages,
    payments,
    providers,
    security,
    store,
    transports,
    web,
)
from tests.plants.plant import Plant

BY_ROOM: Mapping[str, tuple[Plant, ...]] = {
    module.__name__.rpartition(".")[2]: module.PLANTS
    for module in (
        core,
        dialects,
        messages,
        brought,
        line,
        manual,
        doors,
        transports,
        store,
        accounts,
        payments,
        house,
        config,
        providers,
        security,
        cli,
        web,
    )
}
PLANTS: tuple[Plant, ...] = tuple(plant for plants in BY_ROOM.values() for plant in plants)
