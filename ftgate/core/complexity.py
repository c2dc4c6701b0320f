"""How hard a call is, for model = "auto": simple, medium or complex, by a table of cheap features. Pure.

Each feature counts what it sees in what is asked: it is worth so many points each time, up to a most, and has a word by
which it is explained. The sum decides, but where a sign of hardness is seen nothing is simple: an easy question costs
little at a large model, and a hard one is lost at the smallest. What is asked is the last thing a person said; what was
pasted with it (code, quotes, articles) or said before says less than the words around it.

Source: the prompts in tests/routing/seen.jsonl, labelled by people who had seen no feature. The points come from an
ordinal logistic regression over them and over sentences made up to contradict it, held near what was guessed before,
and rounded. The words are broad vocabularies of trades; one that everybody uses is only a hint, and a single hint none.
"""

import re
from collections.abc import Mapping

import msgspec

from ftgate.core.complexity_chinese import CHINESE, pairs_in
from ftgate.core.complexity_words import CODE, COMMON, ENGLISH, PHRASES

GRADES = ("simple", "medium", "complex")
MEDIUM_FROM, COMPLEX_FROM = 0, 14
"""Points from which a call is medium, and complex."""
HEAD, TAIL = 600, 300
"""Characters that are read of a longer text: its beginning and its end, where people say what they want."""
SYSTEM_READ, BESIDE_READ = 400, 300
"""Characters that are read of the system's words, and of what was pasted or said before."""
WIDE_ASKED = 150, 240, 340
"""Widths of what is asked, each of which makes it harder. Nothing wider than the first is simple by itself."""
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
        """In one line: `complex (17): reasoning +8, any question +5, mathematics +2, a hard word +2`."""
        told = ", ".join(f"{reason.word} {reason.points:+d}" for reason in self.reasons)
        return f"{self.name} ({self.score}){': ' if told else ''}{told}"


class Feature(msgspec.Struct, frozen=True):
    """`points` for each sight of it, counting at most `most` sights."""

    word: str
    points: int
    most: int = 1


FEATURES: Mapping[str, Feature] = {
    "question": Feature("any question", 5),
    "chat": Feature("small talk", -11),
    "terse": Feature("a short answer wanted", -4, 2),
    "change": Feature("a small change to a text", -4),
    "lookup": Feature("a thing to look up", -4),
    "fact": Feature("a name or a date", -9),
    "brief": Feature("a short question", -6, 2),
    "make": Feature("something to make", 1),
    "think": Feature("something to explain or weigh", 1),
    "hard": Feature("a hard word", 2),
    "proof": Feature("reasoning", 8, 3),
    "mathematics": Feature("mathematics", 2, 3),
    "notation": Feature("formulas", 1),
    "systems": Feature("hard systems work", 4, 3),
    "field": Feature("an expert's field", 4, 4),
    "hint": Feature("several words near an expert's field", 2, 4),
    "odd": Feature("behaviour that nobody expects", 2, 2),
    "basics": Feature("the basics wanted", -4),
    "jargon": Feature("terms of a trade", 2, 3),
    "asks": Feature("several questions", 2, 2),
    "own": Feature("what somebody runs", 1),
    "units": Feature("measures", 1, 2),
    "demand": Feature("depth demanded", 3, 3),
    "wide": Feature("much told", 2, 3),
    "material": Feature("much to read", 1),
    "long": Feature("length", 3, 3),
    "tool": Feature("tools", 1),
    "agent": Feature("work on its own", 6),
    "image": Feature("pictures", 2),
    "context": Feature("more was said before", 2),
    "depth": Feature("a long conversation", 1),
}
HARD = ("proof", "mathematics", "systems", "field")
"""Features that say as much in what was pasted, unless only a small thing is asked of it. Of code it is the hard work
on systems alone: programs are full of integers and graphs."""

_QUOTED = re.compile(r'```.*?(?:```|$)|"[^"\n]{4,}"|“[^“”\n]{2,}”', re.S)
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9'+#-]*")
# What stands between words in a text of plain letters, which is split much faster than _WORD finds them.
_BETWEEN = {ord(sign): " " for sign in '!"$%&()*,./:;<=>?@[\\]^`{|}~\n\r\t'}
_HAN = re.compile("[\u4e00-\u9fff]")
_CODE_SIGNS = "{}();=<>[]"
_OWN = frozenset(("we", "We", "our", "Our", "us"))
_SIGNS = ("^", "\\", "f(", "_n", "_i", "_{", "E[", "O(")
_WIDE_SIGNS = (*_SIGNS, *"≤≥≠√∑Σ∏∫∀∃∈²³∞")
_UNITS = re.compile(
    r"[0-9]\s?(?:[munµ]?s|min|[gmtk]b|k|m|qps|tps|hz|%|亿|万|倍|毫秒|微秒|秒|节点|个节点|bits?|bytes?|x)(?![a-z])", re.I
)
_PARTS = (",", "\uff0c", ";", "\uff1b", "、", "。", "!", "\uff01", ". ", ":", "\uff1a", " and ")
_ANY_VERB = frozenset(("fix", "make", "turn", "add", "set", "modify", "update", "go", "how"))
_DOINGS = ("change", "make", "think", "lookup")
_PHRASES_OF: dict[str, list[tuple[str, str, frozenset[str]]]] = {}  # by their longest word, and its plural
for _kind, _phrases in PHRASES.items():
    for _phrase in _phrases:
        _parts = _WORD.findall(_phrase)
        _telling = max(_parts, key=len)
        for _found_by in (_telling, f"{_telling}s"):
            _PHRASES_OF.setdefault(_found_by, []).append((_kind, _phrase, frozenset(_parts[:-1])))
_KINDS_OF: dict[str, tuple[str, ...]] = {}
for _kind, _found in ENGLISH.items():
    for _word in _found:
        _KINDS_OF[_word] = (*_KINDS_OF.get(_word, ()), _kind)
_WITH_PLURALS = {f"{_word}s": _kinds for _word, _kinds in _KINDS_OF.items()} | _KINDS_OF
_UNSEEN = dict.fromkeys((*FEATURES, *ENGLISH, *PHRASES, "care"), 0)


def grade(asked: Asked) -> Grade:
    """The grade of a call. It reads at most HEAD + TAIL characters of what was said last, in about 100 microseconds."""
    seen = _seen(asked)
    reasons = [
        Reason(feature.word, feature.points * min(seen[name], feature.most))
        for name, feature in FEATURES.items()
        if seen[name] > 0
    ]
    score = sum(reason.points for reason in reasons)
    if score < MEDIUM_FROM and seen["care"]:
        reasons.append(Reason("a sign that it is not simple", MEDIUM_FROM - score))
        score = MEDIUM_FROM
    name = "simple" if score < MEDIUM_FROM else "medium" if score < COMPLEX_FROM else "complex"
    reasons.sort(key=lambda reason: -abs(reason.points))
    return Grade(name, score, tuple(reasons))


class _Told:
    """Which kinds of words stand in a text: how many different ones of each, and which kind of doing comes first."""

    __slots__ = ("different", "kinds", "opening")

    def __init__(self, text: str) -> None:
        self.kinds = _UNSEEN.copy()
        self.opening = ""
        found = text.translate(_BETWEEN).split() if text.isascii() else _WORD.findall(text)
        for word in map(str.lower, found[:6]):
            kinds = _KINDS_OF.get(word, ())
            if word not in _ANY_VERB and (doing := next((kind for kind in _DOINGS if kind in kinds), "")):
                self.opening = doing
                break
        self.different = set(found)
        words = text.lower()
        different = set(map(str.lower, self.different))
        for word in _WITH_PLURALS.keys() & different:
            for kind in _WITH_PLURALS[word]:
                self.kinds[kind] += 1
        for word in _PHRASES_OF.keys() & different:
            for kind, phrase, needed in _PHRASES_OF[word]:
                if needed <= different and phrase in words:
                    self.kinds[kind] += 1
        if not words.isascii() and _HAN.search(words):
            self._chinese(words)

    def _chinese(self, words: str) -> None:
        first = OPENING
        for pair in pairs_in(words):
            for kind, known in CHINESE[pair]:
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
    text, before = asked.last, asked.before
    if before and _width(text[:FOLLOWING]) < FOLLOWING and not _stands_alone(text):
        text, before = f"{before}\n{text}", ""  # "go on", "and in miles?"
    says = 1 if text.isascii() else 2
    head, tail = HEAD // says, TAIL // says
    if len(text) > head + tail:
        text = f"{text[:head]}\n\n{text[-tail:]}"
    words, pasted, code = _parted(text)
    told = _Told(words)
    seen = told.kinds
    parts = sum(map(words.count, _PARTS))
    width = _width(words)
    _count(seen, words, told.different, width)
    if width < SHORT and not code:
        seen["brief"] = 1 + (width < SHORT // 2 and told.opening not in ("make", "think"))
    if parts > 2 or code or seen["limit"] or not (told.opening == "lookup" or "?" in words or says > 1):
        seen["lookup"] = 0
    larger = seen["proof"] or seen["demand"] or seen["also"] or (seen["think"] and not seen["terse"])
    small = not larger and width < 2 * SHORT and (seen["terse"] or seen["change"] or (seen["lookup"] and not code))
    _weigh(seen, told.opening, width, parts // 5)
    if code:
        seen["notation"] = 0
    after_hard = before and _go_on(seen, _Told(before[:BESIDE_READ]).kinds, told_small=bool(small or seen["chat"]))
    if asked.system:
        system = _Told(asked.system[:SYSTEM_READ]).kinds
        seen["agent"] += system["agent"]
        if not _hard(seen):
            seen["terse"] += system["terse"]
    seen["care"] = after_hard or _care(seen, width)
    seen["material"] = not small and _width(pasted) > MATERIAL
    if pasted and not small and (code or not seen["make"]):
        beside = _Told(pasted[:BESIDE_READ]).kinds
        for kind in ("systems",) if code else HARD:
            seen[kind] += beside[kind]
    seen["hard"] = _hard(seen) > 0
    if not seen["hard"]:
        seen["basics"] = 0
    seen["long"] = sum(asked.tokens > size for size in LONG_TOKENS)
    seen["tool"] = asked.tools > 0
    seen["image"] = asked.images > 0
    seen["depth"] = asked.turns >= 4
    return seen


def _count(seen: dict[str, int], words: str, different: set[str], width: float) -> None:
    """What is seen by signs and sizes, and not by the kinds of words."""
    seen["question"] = 1
    seen["hint"] -= 1  # of a single one everybody speaks
    seen["notation"] = any(sign in words for sign in (_SIGNS if words.isascii() else _WIDE_SIGNS))
    seen["asks"] = words.count("?") + words.count("\uff1f") - 1
    seen["own"] = not _OWN.isdisjoint(different) or "我们" in words
    seen["jargon"] = len({word for word in filter(str.isupper, different) if len(word) > 1} - COMMON) - 1
    seen["units"] = len(_UNITS.findall(words)) // 2
    seen["wide"] = sum(width > size for size in WIDE_ASKED)


def _hard(seen: dict[str, int]) -> int:
    return seen["proof"] + seen["mathematics"] + seen["systems"] + seen["field"]


def _go_on(seen: dict[str, int], before: dict[str, int], told_small: bool) -> bool:
    """What was said before counts a little where a larger thing is asked now. Whether it was hard, and nothing but a
    thing to look up may speak for a small one now."""
    if not told_small:
        seen["context"] = 1
        for kind in HARD:
            seen[kind] += min(before[kind], 1)
    return _hard(before) > 0 and not (seen["chat"] or seen["terse"] or seen["change"] or seen["fact"])


def _weigh(seen: dict[str, int], opening: str, width: float, clauses: int) -> None:
    """What speaks for a small thing counts only where nothing larger is asked with it: the first verb tells which."""
    if opening != "lookup" and width > SHORT:
        seen["lookup"] = 0
    if width > SHORT // 2:
        seen["chat"] = 0
    if width > WIDE_ASKED[0]:  # "in one sentence" was said by the way
        seen["terse"] = 0
        if opening != "change":
            seen["change"] = 0
    if width > 1.5 * SHORT or seen["think"] or seen["demand"] or seen["also"]:
        seen["fact"] = 0
    hard = seen["systems"] + seen["field"] + seen["mathematics"]
    if seen["fact"]:
        return
    if seen["proof"] or hard > 1 or seen["demand"] > (0 if hard else 1):
        seen["lookup"] = seen["change"] = seen["brief"] = seen["terse"] = 0
    elif opening in ("make", "think") or seen["think"] or seen["also"]:
        seen["change"] = seen["lookup"] = 0
        if seen["also"] and width > SHORT // 2:
            seen["brief"] = 0
    elif opening == "change" and not (clauses > 1 or seen["demand"]):
        seen["make"] = 0
    elif seen["change"] and clauses > 1:
        seen["change"] = 0


def _care(seen: dict[str, int], width: float) -> bool:
    """Whether something says that the smallest models will not do, who answer a hard question wrongly and surely: one
    sign is enough where nothing speaks for a small thing, two where something does."""
    if seen["fact"]:
        return False
    hard = _hard(seen)
    if width > WIDE_ASKED[0] or seen["proof"] or hard > 1:
        return True
    if seen["chat"] or seen["terse"] or seen["change"] or seen["lookup"]:
        return False
    return hard > 0 or seen["odd"] > 0 or seen["demand"] > 0 or seen["jargon"] > 0


def _parted(text: str) -> tuple[str, str, bool]:
    """What a person asks, and what was pasted with it (quotes count for nothing): all paragraphs but the first and a
    short one at the end. Whether some of it is code."""
    text, quotes = _QUOTED.subn(" ~ ", text)
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
    told = _Told(head).kinds
    larger = told["think"] or told["also"] or told["proof"] or told["systems"]
    return bool((told["change"] or told["lookup"]) and not larger)


def _stands_alone(text: str) -> bool:
    """Whether a few words ask for a small thing themselves: "thanks", "say it in French"."""
    told = _Told(text).kinds
    small = told["chat"] or told["terse"] or told["change"] or told["lookup"] or told["fact"]
    return bool(small) and not (told["think"] or told["demand"] or told["proof"])


def _width(text: str) -> float:
    """How much a text says, in Latin letters: signs of three bytes are Chinese."""
    size = len(text)
    return size if text.isascii() else size + (WIDE - 1) * (len(text.encode("utf-8", "replace")) - size) / 2
