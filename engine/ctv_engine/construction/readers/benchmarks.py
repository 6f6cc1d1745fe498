"""How each benchmark writes its questions: its columns, and what a row of them means."""

from __future__ import annotations

import json
import string
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ctv_engine.construction.readers.columns import Part, text, texts
from ctv_engine.scoring.vqa import normalised
from ctv_engine.suite import NO_META, Meta, OpenMetric
from ctv_engine.suite.metrics import ANNOTATORS, ANSWER_TYPES, check_meta, read_meta

LETTERS = string.ascii_uppercase
Cells = Mapping[str, Any]
"""The cells of a row by the part that their column plays."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a row asks; ``key`` empty: the row's place names it."""

    question: str
    answers: tuple[str, ...]
    key: str = ""
    options: tuple[str, ...] = ()
    gold_index: int | None = None
    meta: Meta = NO_META
    stratum: str = ""


class RowError(Exception):
    """Why a row is no item."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A published format. ``metric`` is the open metric that its items get unless told."""

    name: str
    metric: OpenMetric
    parts: tuple[Part, ...]
    read: Callable[[Cells], Asked]


def _asked(cells: Cells, answers: Sequence[str], **more: Any) -> Asked:
    question = text(cells["question"])
    if not question:
        raise RowError("the question is empty")
    if not answers:
        raise RowError("no answer (of a test split they are often withheld)")
    found = tuple(dict.fromkeys(answers))
    return Asked(question, found, key=text(cells.get("key")), **more)


# --- charts and documents -------------------------------------------------------------------------

_KEY = Part(
    "key", ("suite_key", "questionId", "question_id", "qid", "pid", "index", "id"), optional=True
)
_QUESTION = Part("question", ("question", "query"))
_IMAGE = Part("image", ("image", "imgname", "imagename", "image_local_name", "image_path"))


def _chart(cells: Cells) -> Asked:
    label = cells["answer"]
    # Some labels are "[2, 5]": one answer, not two that are accepted.
    labels = [text(label)] if isinstance(label, str) and text(label) else texts(label)
    return _asked(cells, labels, stratum=text(cells.get("stratum")))


def _document(cells: Cells) -> Asked:
    kinds = texts(cells.get("stratum"))
    return _asked(cells, texts(cells["answer"]), stratum=kinds[0] if kinds else "")


# --- MathVista ------------------------------------------------------------------------------------


def _maths(cells: Cells) -> Asked:
    choices = tuple(texts(cells.get("choices")))
    unit, answer = text(cells.get("unit")), text(cells["answer"])
    answers = [answer] if answer else []
    options: tuple[str, ...] = ()
    gold = None
    if choices:
        if answer and answer not in choices:
            answers = [_choice(answer, text(cells.get("answer_option")), choices)]
        meta = Meta(choices=choices)
        if answers and len(set(choices)) == len(choices):
            options, gold = choices, choices.index(answers[0])
    else:
        meta = _typed(text(cells.get("answer_type")), text(cells.get("precision")))
    cells = {**cells, "question": text(cells["question"]) + (f" (Unit: {unit})" if unit else "")}
    metadata = cells.get("metadata")
    task = metadata.get("task") if isinstance(metadata, Mapping) else None
    made = _asked(
        cells,
        answers,
        options=options,
        gold_index=gold,
        meta=meta,
        stratum=text(cells.get("stratum")) or text(task),
    )
    faults = check_meta("mathvista", made.answers, meta)
    if faults:
        raise RowError(faults[0])
    return made


def _choice(answer: str, letter: str, choices: Sequence[str]) -> str:
    """Return the choice that an answer means: by its letter where its text is none of them."""
    for name in (letter, answer):
        bare = name.strip("().").upper()
        if len(bare) == 1 and bare in LETTERS and LETTERS.index(bare) < len(choices):
            return choices[LETTERS.index(bare)]
    raise RowError(f"answer {answer!r} is none of the choices {', '.join(map(repr, choices))}")


def _typed(kind: str, precision: str) -> Meta:
    if kind not in ANSWER_TYPES:
        raise RowError(f"answer_type {kind!r} is none of {', '.join(ANSWER_TYPES)}")
    if kind != "float":
        return Meta(answer_type=kind)
    try:
        return Meta(answer_type="float", precision=int(float(precision)))
    except ValueError:
        raise RowError(f"precision {precision!r} is no number of decimal places") from None


# --- MM-Vet and VizWiz ----------------------------------------------------------------------------


def _mmvet(cells: Cells) -> Asked:
    named = cells.get("capability")
    parts = texts(named.split(",") if isinstance(named, str) else named)
    capabilities = tuple(sorted(set(parts)))
    # The golds' <AND> and <OR> are for the judge to read.
    answer = text(cells["answer"])
    return _asked(
        cells,
        [answer] if answer else [],
        meta=Meta(capabilities=capabilities),
        stratum="+".join(capabilities),
    )


def _vizwiz(cells: Cells) -> Asked:
    given = texts(cells["answer"], blanks=True)
    if any(given) and len(given) != ANNOTATORS:
        raise RowError(f"{len(given)} answers; its metric takes those of {ANNOTATORS} people")
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for answer in given:
        spellings[normalised(answer)][answer] += 1
    spellings.pop("", None)
    ranked = sorted(spellings.values(), key=Counter.total, reverse=True)
    return _asked(
        cells,
        [spelling.most_common(1)[0][0] for spelling in ranked],
        meta=Meta(annotators=tuple(given)),
        stratum=text(cells.get("stratum")),
    )


# --- multiple choice already ----------------------------------------------------------------------


def _multiple_choice(cells: Cells) -> Asked:
    options = [text(cells.get(letter)) for letter in LETTERS]
    options = options[: max((n + 1 for n, option in enumerate(options) if option), default=0)]
    letter = text(cells["answer"]).strip("().").upper()
    if len(options) < 2 or not all(options):
        raise RowError("fewer than two options, or an empty one between others")
    if len(set(options)) < len(options):
        raise RowError("two of its options are equal")
    if len(letter) != 1 or letter not in LETTERS[: len(options)]:
        if not letter:
            raise RowError("no answer (of a test split they are often withheld)")
        raise RowError(f"answer {letter!r} is the letter of none of {len(options)} options")
    gold = LETTERS.index(letter)
    return _asked(
        cells,
        texts(cells.get("open_answers")) or [options[gold]],
        options=tuple(options),
        gold_index=gold,
        meta=_stated(cells.get("meta")),
        stratum=text(cells.get("stratum")),
    )


def _anything(cells: Cells) -> Asked:
    if text(cells.get("A")) and text(cells.get("B")):
        return _multiple_choice({**cells, "answer": cells.get("letter") or cells["answer"]})
    options = tuple(texts(cells.get("options")))
    answers = texts(cells["answer"])
    gold = None
    if options and answers:
        if len(set(options)) < len(options):
            raise RowError("two of its options are equal")
        if answers[0] not in options:
            answers = [_choice(answers[0], "", options)]
        gold = options.index(answers[0])
    more = {"options": options, "gold_index": gold} if gold is not None else {}
    meta = _stated(cells.get("meta"))
    return _asked(cells, answers, stratum=text(cells.get("stratum")), meta=meta, **more)


def _stated(cell: Any) -> Meta:
    """Return the ``meta`` of an exported suite, an object or JSON text."""
    if isinstance(cell, str) and cell.strip():
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError) as error:
            raise RowError(f"open_meta is no JSON ({error})") from error
    faults: list[str] = []
    meta = read_meta(cell or None, faults)
    if faults:
        raise RowError(faults[0])
    return meta


_LETTER_PARTS = tuple(Part(letter, (letter,), optional=True) for letter in LETTERS[2:])
_META = Part("meta", ("open_meta",), optional=True)

BENCHMARKS: dict[str, Benchmark] = {
    one.name: one
    for one in (
        Benchmark(
            "chartqa",
            "exact_match",
            (
                _KEY,
                _QUESTION,
                Part("answer", ("answer", "label")),
                _IMAGE,
                Part("stratum", ("type", "split", "human_or_machine"), optional=True),
            ),
            _chart,
        ),
        *(
            Benchmark(
                name,
                "anls",
                (
                    _KEY,
                    _QUESTION,
                    Part("answer", ("answers", "answer")),
                    _IMAGE,
                    Part("stratum", ("question_types", "answer_type"), optional=True),
                ),
                _document,
            )
            for name in ("docvqa", "infovqa")
        ),
        Benchmark(
            "mathvista",
            "mathvista",
            (
                _KEY,
                _QUESTION,
                Part("answer", ("answer",)),
                Part("image", ("decoded_image", "image", "image_path")),
                Part("choices", ("choices",), optional=True),
                Part("unit", ("unit",), optional=True),
                Part("precision", ("precision",), optional=True),
                Part("answer_type", ("answer_type",), optional=True),
                Part("answer_option", ("answer_option",), optional=True),
                Part("metadata", ("metadata",), optional=True),
                Part("stratum", ("task",), optional=True),
            ),
            _maths,
        ),
        Benchmark(
            "mmvet",
            "judge",
            (
                _KEY,
                _QUESTION,
                Part("answer", ("answer",)),
                _IMAGE,
                Part("capability", ("capability", "category"), optional=True),
            ),
            _mmvet,
        ),
        Benchmark(
            "vizwiz",
            "vqa_soft",
            (
                _KEY,
                _QUESTION,
                Part("answer", ("answers", "answer")),
                _IMAGE,
                Part("stratum", ("category", "answer_type"), optional=True),
            ),
            _vizwiz,
        ),
        Benchmark(
            "vmcbench",
            "exact_match",
            (
                _KEY,
                _QUESTION,
                Part("answer", ("answer",)),
                _IMAGE,
                Part("A", ("A",)),
                Part("B", ("B",)),
                *_LETTER_PARTS,
                Part("open_answers", ("open_answers",), optional=True),
                _META,
                Part("stratum", ("category",), optional=True),
            ),
            _multiple_choice,
        ),
        Benchmark(
            "generic",
            "exact_match",
            (
                _KEY,
                _QUESTION,
                Part("answer", ("open_answers", "answers", "answer", "label")),
                Part("image", ("image", "image_path", "img", "picture", "file_name")),
                Part("options", ("options", "choices"), optional=True),
                Part("A", ("A",), optional=True),
                Part("B", ("B",), optional=True),
                *_LETTER_PARTS,
                Part("letter", ("answer",), optional=True),
                Part("open_answers", ("open_answers",), optional=True),
                _META,
                Part("stratum", ("category", "type", "split"), optional=True),
            ),
            _anything,
        ),
    )
}
