"""How hard a call is, for model = "auto": simple, medium or complex, by a table of cheap features. Pure.

Each feature counts what it sees in what is asked: it is worth so many points each time, up to a most, and has a word by
which it is explained. The sum decides. What is asked is the last thing a person said; what was pasted with it (code,
quotes, articles) says less than the words around it.

Source: the prompts in tests/routing/seen.jsonl, which somebody had labelled before these features were written.
"""

import re
from collections.abc import Mapping

import msgspec

from ftgate.core.complexity_words import CHINESE, CODE, COMMON, ENGLISH, PHRASES

GRADES = ("simple", "medium", "complex")
MEDIUM_FROM, COMPLEX_FROM = 2, 9
"""Points from which a call is medium, and complex."""
HEAD, TAIL = 700, 400
"""Characters that are read of a longer text: its beginning and its end, where people say what they want."""
SYSTEM_READ = 400
FOLLOWING = 30
"""Width under which a text means nothing without the one before it."""
OPENING = 40
"""Signs of a Chinese text in which its first verb stands."""
MATERIAL = 600
"""Width from which a pasted text takes reading."""
SHORT = 90
"""Width of a short question."""
CLOSING = 400
"""Width up to which a last paragraph is a question to what stands before it."""
WIDE = 2.2
"""How many Latin letters a Chinese character says."""
LONG_TOKENS = 4000, 16_000, 64_000
"""Sizes of the whole call, each of which makes it harder to answer."""


class Asked(msgspec.Struct, frozen=True, gc=False):
    """What is known of a call, in no dialect's words. `last` is the last text that a person said, `before` the one
    before it, `turns` how often the person spoke; `tools` and `images` are numbers; `tokens` the likely size of it
    all."""

    last: str
    before: str = ""
    system: str = ""
    turns: int = 1
    tools: int = 0
    images: int = 0
    tokens: int = 0


class Reason(msgspec.Struct, frozen=True, gc=False):
    """A feature that was seen: its word, and its points."""

    word: str
    points: int


class Grade(msgspec.Struct, frozen=True, gc=False):
    """The grade with the reasons for it, the weightiest first."""

    name: str
    score: int
    reasons: tuple[Reason, ...] = ()

    @property
    def words(self) -> str:
        """In one line: `complex (11): reasoning +6, mathematics +3, any question +2`."""
        told = ", ".join(f"{reason.word} {reason.points:+d}" for reason in self.reasons)
        return f"{self.name} ({self.score}){': ' if told else ''}{told}"


class Feature(msgspec.Struct, frozen=True):
    """`points` for each sight of it, counting at most `most` sights."""

    word: str
    points: int
    most: int = 1


FEATURES: Mapping[str, Feature] = {
    "question": Feature("any question", 2),
    "chat": Feature("small talk", -8),
    "terse": Feature("a short answer wanted", -4, 2),
    "change": Feature("a small change to a text", -3, 1),
    "lookup": Feature("a thing to look up", -3, 1),
    "fact": Feature("a name or a date", -7, 1),
    "brief": Feature("a short question", -1, 2),
    "make": Feature("something to make", 2, 1),
    "think": Feature("something to explain or weigh", 2, 1),
    "code": Feature("code", 1, 1),
    "proof": Feature("reasoning", 5, 2),
    "mathematics": Feature("mathematics", 4, 3),
    "notation": Feature("formulas", 2, 1),
    "systems": Feature("hard systems work", 3, 3),
    "field": Feature("an expert's field", 3, 4),
    "jargon": Feature("terms of a trade", 1, 3),
    "units": Feature("measures", 1, 2),
    "demand": Feature("depth demanded", 2, 3),
    "clauses": Feature("many parts", 1, 2),
    "material": Feature("much to read", 2, 1),
    "long": Feature("length", 2, 3),
    "tool": Feature("tools", 1, 1),
    "agent": Feature("work on its own", 5, 1),
    "image": Feature("pictures", 2, 1),
    "depth": Feature("a long conversation", 1, 1),
}
HARD = ("proof", "mathematics", "systems", "field")
"""Features that say as much in what was pasted, unless only a small thing is asked of it. Of code it is the hard work
on systems alone: programs are full of integers and graphs."""

_QUOTED = re.compile(r'```.*?(?:```|$)|"[^"\n]{4,}"|“[^“”\n]{2,}”', re.S)
_WORD = re.compile(r"[a-z][a-z0-9'+#-]*")
_CODE_SIGNS = "{}();=<>[]"
_SIGNS = ("^", "\\", *"≤≥≠√∑Σ∏∫∀∃∈²³∞", "f(", "_n", "_i", "_{", "E[", "O(")
_JARGON = re.compile(r"[A-Z]{2}[A-Z0-9]*")
_UNITS = re.compile(
    r"[0-9]\s?(?:[munµ]?s|min|[gmtk]b|k|m|qps|tps|hz|%|亿|万|倍|毫秒|微秒|秒|节点|个节点|bits?|bytes?|x)(?![a-z])", re.I
)
_PARTS = (",", "\uff0c", ";", "\uff1b", "、", "。", "!", "\uff01", ". ", ":", "\uff1a", " and ")
_ANY_VERB = frozenset(("fix", "make", "turn", "add", "set", "modify", "update", "go", "how"))
_DOINGS = ("change", "make", "think", "lookup")
_PHRASES_OF: dict[str, list[tuple[str, str]]] = {}  # by their first word
for _kind, _phrases in PHRASES.items():
    for _phrase in _phrases:
        _PHRASES_OF.setdefault(_WORD.findall(_phrase)[0], []).append((_kind, _phrase))
_KINDS_OF: dict[str, tuple[str, ...]] = {}
for _kind, _found in ENGLISH.items():
    for _word in _found:
        _KINDS_OF[_word] = (*_KINDS_OF.get(_word, ()), _kind)
_WITH_PLURALS = {f"{_word}s": _kinds for _word, _kinds in _KINDS_OF.items()} | _KINDS_OF
_UNSEEN = dict.fromkeys((*FEATURES, *ENGLISH, *PHRASES), 0)


def grade(asked: Asked) -> Grade:
    """The grade of a call. It reads at most HEAD + TAIL characters of what was said last, in about 100 microseconds."""
    seen = _seen(asked)
    reasons = [
        Reason(feature.word, feature.points * min(seen[name], feature.most))
        for name, feature in FEATURES.items()
        if seen[name] > 0
    ]
    score = sum(reason.points for reason in reasons)
    name = "simple" if score < MEDIUM_FROM else "medium" if score < COMPLEX_FROM else "complex"
    reasons.sort(key=lambda reason: -abs(reason.points))
    return Grade(name, score, tuple(reasons))


class _Told:
    """Which kinds of words stand in a text: how many different ones of each, and which kind of doing comes first."""

    __slots__ = ("kinds", "opening")

    def __init__(self, words: str) -> None:
        self.kinds = _UNSEEN.copy()
        self.opening = ""
        found = _WORD.findall(words)
        for word in found[:6]:
            kinds = _KINDS_OF.get(word, ())
            if word not in _ANY_VERB and (doing := next((kind for kind in _DOINGS if kind in kinds), "")):
                self.opening = doing
                break
        different = set(found)
        for word in _WITH_PLURALS.keys() & different:
            for kind in _WITH_PLURALS[word]:
                self.kinds[kind] += 1
        for word in _PHRASES_OF.keys() & different:
            for kind, phrase in _PHRASES_OF[word]:
                self.kinds[kind] += phrase in words
        if not words.isascii():
            self._chinese(words)

    def _chinese(self, words: str) -> None:
        first = OPENING
        signs = set(words)
        for begins in CHINESE.keys() & signs:
            for follows, kind, known in CHINESE[begins]:
                if follows not in signs:
                    continue
                if isinstance(known, str):
                    at = words.find(known)
                else:
                    match = known.search(words)
                    at = match.start() if match else -1
                if at >= 0:
                    self.kinds[kind] += 1
                    if at < first and kind in _DOINGS:
                        first, self.opening = at, kind


def _seen(asked: Asked) -> dict[str, int]:
    """How often each feature is seen."""
    text = asked.last
    if asked.before and _width(text[:FOLLOWING]) < FOLLOWING:  # "go on", "and in miles?"
        text = f"{asked.before}\n{text}"
    says = 1 if text.isascii() else 2
    head, tail = HEAD // says, TAIL // says
    if len(text) > head + tail:
        text = f"{text[:head]}\n\n{text[-tail:]}"
    words, pasted, code = _parted(text)
    told = _Told(words.lower())
    seen = told.kinds
    seen["question"] = 1
    seen["code"] = code
    seen["notation"] = not code and any(sign in words for sign in _SIGNS)
    seen["jargon"] = len(set(_JARGON.findall(words)) - COMMON) - 1
    seen["units"] = len(_UNITS.findall(words)) // 2
    parts = sum(map(words.count, _PARTS))
    seen["clauses"] = parts // 5
    width = _width(words)
    if width < SHORT and not code:
        seen["brief"] = 1 + (width < SHORT // 2)
    if parts > 2 or code or seen["limit"]:
        seen["lookup"] = 0
    larger = seen["proof"] or seen["demand"] or seen["also"] or (seen["think"] and not seen["terse"])
    small = not larger and width < 2 * SHORT and (seen["terse"] or seen["change"] or (seen["lookup"] and not code))
    _weigh(seen, told.opening, width)
    seen["material"] = not small and _width(pasted) > MATERIAL
    if pasted and not small and (code or not seen["make"]):
        beside = _Told(pasted.lower()).kinds
        for kind in ("systems",) if code else HARD:
            seen[kind] += beside[kind]
    seen["long"] = sum(asked.tokens > size for size in LONG_TOKENS)
    seen["tool"] = asked.tools > 0
    seen["image"] = asked.images > 0
    seen["depth"] = asked.turns >= 4
    if asked.system:
        system = _Told(asked.system[:SYSTEM_READ].lower()).kinds
        for kind in ("terse", "agent"):
            seen[kind] += system[kind]
    return seen


def _weigh(seen: dict[str, int], opening: str, width: float) -> None:
    """What speaks for a small thing counts only where nothing larger is asked with it: the first verb tells which."""
    if opening != "lookup" and width > SHORT:
        seen["lookup"] = 0
    if width > SHORT // 2:
        seen["chat"] = 0
    if width > 1.5 * SHORT or seen["think"] or seen["demand"] or seen["also"]:
        seen["fact"] = 0
    hard = seen["systems"] + seen["field"] + seen["mathematics"]
    if seen["fact"]:
        return
    if seen["proof"] or hard > 1 or seen["demand"] > (0 if hard else 1):
        seen["lookup"] = seen["change"] = seen["brief"] = seen["terse"] = 0
    elif opening in ("make", "think") or seen["think"] or seen["also"]:
        seen["change"] = seen["lookup"] = 0
    elif opening == "change" and not (seen["clauses"] > 1 or seen["demand"]):
        seen["make"] = 0
    elif seen["change"] and seen["clauses"] > 1:
        seen["change"] = 0


def _parted(text: str) -> tuple[str, str, bool]:
    """What a person asks, and what was pasted with it (quotes count for nothing): all paragraphs but the first and a
    short one at the end. Whether some of it is code."""
    text, quotes = _QUOTED.subn(" … ", text)
    first, _, below = text.strip().partition("\n\n")
    middle, _, last = below.rpartition("\n\n")
    others = [part for part in (middle, last) if part.strip()]
    code = any(map(_is_code, (first, *others)))
    if code and "\n" in first and _is_code(first):  # code without a blank line before it
        first, _, below = first.partition("\n")
        others.insert(0, below)
    head, _, rest = first.replace("\uff1a", ":").partition(":")
    if (rest.strip() or others) and _is_small(head):
        return head, "\n".join((rest, *others)), code
    last = others.pop() if others and _width(others[-1]) <= CLOSING and not _is_data(others[-1]) else ""
    return f"{first}\n{last}", "\n".join(others) or "…" * quotes, code


def _is_data(part: str) -> bool:
    return part.lstrip()[:1] in ("{", "[", "<", "|") or _is_code(part)


def _is_code(part: str) -> bool:
    signs = sum(map(part.count, _CODE_SIGNS))
    if signs < 4 or part.lstrip()[:1] in ("{", "["):
        return False
    return signs * 25 > len(part) or any(
        line.lower().lstrip().partition(" ")[0] in CODE for line in part.split("\n")[:12]
    )


def _is_small(head: str) -> bool:
    """Whether a small thing is asked of what follows."""
    if _width(head) > SHORT:
        return False
    told = _Told(head.lower()).kinds
    larger = told["think"] or told["also"] or told["proof"] or told["systems"]
    return bool((told["change"] or told["terse"] or told["lookup"]) and not larger)


def _width(text: str) -> float:
    """How much a text says, in Latin letters: signs of three bytes are Chinese."""
    size = len(text)
    return size if text.isascii() else size + (WIDE - 1) * (len(text.encode("utf-8", "replace")) - size) / 2
