"""All plants, room by room."""

from tests.plants import line
from tests.plants.plant import Plant

PLANTS: tuple[Plant, ...] = (*line.PLANTS,)
