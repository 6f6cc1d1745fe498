"""MathVista: find the answer in a reply by rules, then match it by the type of the answer.

The rules only read what the reply says plainly; where they find nothing, or two things, the answer
is None. The benchmark's own code asks a language model there, and for choices takes the one nearest
by edit distance, so that nonsense picks something (Lu et al., "MathVista", ICLR 2024).
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from decimal import Decimal

from ctv_engine.scoring.exact import plain
from ctv_engine.scoring.numerals import NUMBER, read_number, readable
from ctv_engine.suite import Meta

LETTERS = string.ascii_uppercase
MAX_REPLY = 20_000
"""Characters of the end of a reply that are searched."""

Answer = str | Decimal | tuple[str | Decimal, ...]

_COUNTED = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen twenty
"""
_WORDS = _COUNTED.split()

_MARK = re.compile(
    r"(?:\banswer(?: (?:is|to [^.:\n]{1,80} is)\b|:| ?=)|答案(?:是|为|:))(?: ?:)?(?P<rest>[^\n]*)",
    re.IGNORECASE,
)
_BOXED = re.compile(r"\\boxed ?\{(?P<rest>[^{}]*)\}")
_CLAUSE_END = re.compile(
    r"(?<!\b[A-Za-z])\.(?: |$)|[,;] | (?:because|since|as|not|but)\b", re.IGNORECASE
)
_LETTER = re.compile(
    r"(?:the )?(?:correct )?(?:option |choice )?"
    r"(?:\((?P<round>[A-Za-z])\)|(?P<bare>[A-Za-z])(?P<stop>[.):])?)(?P<rest> .*)?",
    re.IGNORECASE,
)
_IN_BRACKETS = re.compile(r"\(([A-Za-z])\)|\b(?:[Oo]ption|[Cc]hoice) ([A-Z])\b")
_NUMBERS = re.compile(
    rf"(?<![\w.,/^])(?<!\d-)(?P<over>-? ?(?:{NUMBER})) ?/ ?(?P<under>\d+)(?![\w/^]|[.,]\d)"
    rf"|(?<![\w.,/^])(?P<number>(?:(?<![\w)])-)?(?:{NUMBER})(?:[eE][-+]?\d{{1,3}})?)"
    r"(?![\d/^]|[.,]\d|[eE][-+]?\d)"
)


def mathvista(text: str, answers: Sequence[str], meta: Meta) -> float:
    """Return 1.0 if the answer that the reply gives is an accepted one, else 0.0.

    Choices are compared by text, integers and lists by value, floats after rounding both sides to
    ``meta.precision`` decimal places. A reply without a readable answer is wrong.

    Raises:
        ValueError: ``meta`` has neither choices nor an answer type, or a float has no precision.
    """
    found = extract(text, meta)
    if found is None:
        return 0.0
    return float(any(_same(found, _typed(answer, meta), meta) for answer in answers))


def extract(text: str, meta: Meta) -> Answer | None:
    """Return the answer that a reply gives, or None if the rules can't tell.

    A choice is returned as its text, an integer or float as a number, a list as a tuple.

    Raises:
        ValueError: ``meta`` has neither choices nor an answer type, or a float has no precision.
    """
    _require(meta)
    lines = [readable(line) for line in text[-MAX_REPLY:].splitlines()]
    reply = _without_markup("\n".join(line for line in lines if line))
    if not reply:
        return None
    # A reply that names its answer is read there alone: the rest does not overrule it.
    for span in _marked(reply) or [reply, reply.rsplit("\n", 1)[-1]]:
        if span.lower().startswith("not "):
            return None
        found = _read(span, meta)
        if found is not None:
            return found
    return None


def _require(meta: Meta) -> None:
    if not meta.choices and meta.answer_type is None:
        raise ValueError("mathvista needs meta.answer_type or meta.choices")
    if meta.answer_type == "float" and not meta.choices and meta.precision is None:
        raise ValueError("mathvista needs meta.precision beside answer_type float")


def _marked(reply: str) -> list[str]:
    """Return what stands in the last box or after the last mark ("answer is"), if any.

    What follows a mark comes whole first, then up to the end of its clause.
    """
    boxes = _BOXED.findall(reply)
    if boxes:
        return [boxes[-1].strip()]
    marks = [match["rest"].strip() for match in _MARK.finditer(reply) if match["rest"].strip()]
    if not marks:
        return []
    clause = _CLAUSE_END.split(marks[-1], maxsplit=1)[0].strip()
    return [marks[-1], clause] if clause != marks[-1] else [marks[-1]]


def _without_markup(text: str) -> str:
    text = re.sub(r"\\[dt]?frac ?\{([^{}]*)\} ?\{([^{}]*)\}", r"\1/\2", text)
    text = re.sub(r"\\(?:text|mathrm|mathbf) ?\{([^{}]*)\}", r"\1", text)
    return re.sub(r"\*\*|__|`|\\[()\[\]]|\\?\$", "", text).strip()


def _read(span: str, meta: Meta) -> Answer | None:
    if meta.choices:
        return _choice(span, meta.choices)
    if meta.answer_type == "list":
        return _list(span)
    if meta.answer_type == "text":
        return plain(span) or None
    number = _number(span)
    if (
        number is not None
        and meta.answer_type == "integer"
        and number != number.to_integral_value()
    ):
        return None
    return number


def _choice(span: str, choices: Sequence[str]) -> str | None:
    span = span.strip().rstrip(".").strip()
    by_text = {_key(choice): choice for choice in choices}
    if _key(span) in by_text:
        return by_text[_key(span)]
    by_letter = dict(zip(LETTERS, choices, strict=False))
    match = _LETTER.fullmatch(span)
    if match and (letter := (match["round"] or match["bare"]).upper()) in by_letter:
        rest = _key((match["rest"] or "").strip())
        sure = match["round"] or match["stop"] or not rest
        if sure:  # "B. 12 cm", where B is something else, says two things
            contradicted = rest in by_text and by_text[rest] != by_letter[letter]
            return None if contradicted else by_letter[letter]
    bracketed = {(a or b).upper() for a, b in _IN_BRACKETS.findall(span)}
    if bracketed:
        named = bracketed & by_letter.keys()
        return by_letter[named.pop()] if len(named) == 1 and len(bracketed) == 1 else None
    named_texts = _named(span, choices)
    if named_texts:
        return named_texts[0] if len(named_texts) == 1 else None
    number = _number(span)
    if number is not None:
        equal = [choice for choice in choices if _number(choice) == number]
        return equal[0] if len(equal) == 1 else None
    return None


def _named(span: str, choices: Sequence[str]) -> list[str]:
    """Return the choices whose text stands in the span, longest first and not within another."""
    left = _key(span)
    found: list[str] = []
    for choice in sorted(choices, key=len, reverse=True):
        key = _key(choice)
        if len(key) < 2 and not key.isdigit():
            continue  # a single letter is found in any sentence
        parts = re.split(rf"(?<![\w.]){re.escape(key)}(?![\w]|\.\d)", left)
        if len(parts) > 1:
            found.append(choice)
            left = "\0".join(parts)
    return found


def _number(span: str) -> Decimal | None:
    """Return the one number of the span: all of it, after its last "=", or the only one in it."""
    span = span.strip().rstrip(".").strip()
    bare = span.lower()
    if bare in _WORDS:
        return Decimal(_WORDS.index(bare))
    whole = read_number(span)
    if whole is not None:
        return whole
    if "=" in span:
        after = _number(span.rsplit("=", 1)[1].replace("\n", " "))
        if after is not None and "\n" not in span.rsplit("=", 1)[1].strip():
            return after
    values = {_value(match) for match in _NUMBERS.finditer(span)}
    return values.pop() if len(values) == 1 else None


def _value(match: re.Match[str]) -> Decimal | None:
    if match["number"]:
        return read_number(match["number"])
    over, under = read_number(match["over"]), read_number(match["under"])
    return over / under if over is not None and under else None


def _list(span: str) -> tuple[str | Decimal, ...] | None:
    """Return the last bracketed list of the span, or a span that is one without its brackets."""
    bracketed = re.findall(r"\[([^\[\]]*)\]", span)
    if bracketed:
        inner = bracketed[-1]
    elif "," in span and "\n" not in span:
        inner = re.sub(r",? and ", ",", span.strip().rstrip("."))
    else:
        return None
    parts = [part.strip(" '\"") for part in inner.split(",")]
    if not all(parts):
        return None
    numbers = [read_number(part) for part in parts]
    return tuple(
        _key(part) if number is None else number
        for part, number in zip(parts, numbers, strict=True)
    )


def _typed(answer: str, meta: Meta) -> Answer | None:
    if meta.choices:
        return answer
    if meta.answer_type == "list":
        return _list(readable(answer))
    return plain(answer) if meta.answer_type == "text" else read_number(answer)


def _same(found: Answer, wanted: Answer | None, meta: Meta) -> bool:
    if meta.choices:
        return isinstance(wanted, str) and isinstance(found, str) and _key(found) == _key(wanted)
    if meta.answer_type == "float" and meta.precision is not None:
        if isinstance(found, Decimal) and isinstance(wanted, Decimal):
            return round(float(found), meta.precision) == round(float(wanted), meta.precision)
        return False
    return found == wanted


def _key(text: str) -> str:
    return plain(_without_markup(readable(text)))
