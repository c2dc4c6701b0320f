"""A string that must not be seen: a provider key. Printing, formatting or logging it shows three stars."""

OWN_KEY = "sk-ft_"
"""What our own API keys begin with. They are for calling us: a provider never gets one."""


class Secret:
    """Wraps a key; `reveal()` is the one way out, called where the header is built."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)
