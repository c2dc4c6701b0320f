"""The catalogue as shipped: the one place that opens its files, lazily, also inside a zipapp."""

from functools import cache
from typing import TYPE_CHECKING

from ftgate.providers import catalogue

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


def _files() -> "Traversable":
    from importlib import (
        resources,
    )  # here, because it costs a tenth of the program's start and many commands never come by

    return resources.files("ftgate.providers")


@cache
def provider_names() -> tuple[str, ...]:
    """Every provider of the catalogue, by file name."""
    files = (file.name for file in _files().iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml")))


@cache
def provider(name: str) -> catalogue.Provider:
    """One provider as shipped. Raises KeyError for a name the catalogue does not have."""
    if name not in provider_names():
        raise KeyError(name)
    return catalogue.read(_text(name), _text)


def _text(name: str) -> str:
    return (_files() / f"{name}.toml").read_text("utf-8")
