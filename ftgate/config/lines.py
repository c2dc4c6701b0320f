"""Where each key of a TOML text stands: tomllib does not say, and a fault without a line is half a fault.

A small scan, not a second parser: it is only asked about texts that tomllib has read, so it may trust their syntax.
Paths are tuples of keys, with the index where an array of tables (or of values) is passed: ("channel", 1, "timeouts",
"idle").
"""

import tomllib

Where = tuple[str | int, ...]

_BARE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def lines(text: str) -> dict[Where, int]:
    """The line (from 1) of every header, key and array item."""
    return _Scan(text.replace("\r\n", "\n")).run()


class _Scan:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.found: dict[Where, int] = {}
        self.counts: dict[Where, int] = {}

    def run(self) -> dict[Where, int]:
        table: Where = ()
        self._gap("\n")
        while self.at < len(self.text):
            if self.text.startswith("[[", self.at):
                table = self._header(2)
            elif self.text[self.at] == "[":
                table = self._header(1)
            else:
                self._pair(table)
            self._gap("\n")
        return self.found

    def _step(self, count: int = 1) -> None:
        self.line += self.text.count("\n", self.at, self.at + count)
        self.at += count

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _gap(self, also: str = "") -> None:
        """Pass blanks and, where `also` holds a line break, comments and lines too."""
        while (mark := self._peek()) and (mark in " \t" or mark in also or (mark == "#" and also)):
            if mark == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                self._step()

    def _string(self) -> str:
        """Pass one string of any of the four kinds; what it says."""
        start, quote = self.at, self._peek()
        long = self.text.startswith(quote * 3, self.at)
        close = quote * 3 if long else quote
        self._step(len(close))
        while self._peek() and not self.text.startswith(close, self.at):
            self._step(2 if quote == '"' and self._peek() == "\\" else 1)
        self._step(len(close))
        while long and self._peek() == quote:  # a long string may end in up to two quotes of its own
            self._step()
        return str(tomllib.loads("k = " + self.text[start : self.at])["k"])

    def _key(self) -> list[str]:
        parts = []
        while True:
            self._gap()
            if self._peek() in {'"', "'"}:
                parts.append(self._string())
            else:
                start = self.at
                while self._peek() in _BARE:
                    self.at += 1
                parts.append(self.text[start : self.at])
            self._gap()
            if self._peek() != ".":
                return parts
            self._step()

    def _note(self, base: Where, parts: list[str], line: int) -> Where:
        for part in parts:
            base = (*base, part)
            self.found.setdefault(base, line)
        return base

    def _header(self, brackets: int) -> Where:
        line = self.line
        self._step(brackets)
        *outer, last = self._key()
        self._step(brackets)
        path: Where = ()
        for part in outer:
            path = self._note(path, [part], line)
            if path in self.counts:
                path = (*path, self.counts[path] - 1)
        path = self._note(path, [last], line)
        if brackets == 2:
            self.counts[path] = self.counts.get(path, 0) + 1
            path = (*path, self.counts[path] - 1)
        self.found[path] = line
        return path

    def _pair(self, table: Where) -> None:
        line = self.line
        path = self._note(table, self._key(), line)
        self._step()  # the equals sign
        self._gap()
        self._value(path)

    def _value(self, path: Where) -> None:
        mark = self._peek()
        if mark in {'"', "'"}:
            self._string()
        elif mark == "{":
            self._step()
            self._gap("\n")
            while self._peek() not in {"}", ""}:
                self._pair(path)
                self._gap("\n,")
            self._step()
        elif mark == "[":
            self._step()
            self._gap("\n")
            index = 0
            while self._peek() not in {"]", ""}:
                self.found.setdefault((*path, index), self.line)
                self._value((*path, index))
                self._gap("\n,")
                index += 1
            self._step()
        else:
            while self._peek() and self._peek() not in ",]}#\n":
                self._step()
