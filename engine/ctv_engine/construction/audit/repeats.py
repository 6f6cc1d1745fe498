"""Items that ask the same thing about the same picture."""

from __future__ import annotations

from collections.abc import Sequence

from ctv_engine.construction.audit.likeness import normalised, value_of
from ctv_engine.construction.audit.verdicts import Concern, Finding, Verdict
from ctv_engine.suite import Item


def repeats(items: Sequence[Item]) -> list[Finding]:
    """Return two findings: items that repeat an earlier one, and items that contradict another.

    The same picture, byte for byte, and the same question after normalisation, in whatever
    dataset. With one key between them the later ones are repeats; with more than one, all are a
    contradiction, since the open question does not show the options. Items without options are
    compared by their first accepted answer.
    """
    asked: dict[tuple[str, str], dict[str, list[Item]]] = {}
    for item in items:
        answers = asked.setdefault((item.image_digest, normalised(item.question)), {})
        answers.setdefault(_answer(item), []).append(item)
    repeated: list[Concern] = []
    contradicting: list[Concern] = []
    for answers in asked.values():
        for first, *others in answers.values():
            repeated += [
                Concern(one.dataset, one.key, f"asks what {first.dataset}/{first.key} asks")
                for one in others
            ]
        if len(answers) > 1:
            keys = ", ".join(f"{_key(group[0])!r}" for group in answers.values())
            contradicting += [
                Concern(one.dataset, one.key, f"one question about one picture has keys {keys}")
                for group in answers.values()
                for one in group
            ]
    return [
        _finding("repeated-item", "repeat an earlier one", repeated, items),
        _finding("contradiction", "contradict another one", contradicting, items),
    ]


def _answer(item: Item) -> str:
    value = value_of(_key(item))
    return normalised(_key(item)) if value is None else f"{value.amount} {value.unit}"


def _key(item: Item) -> str:
    return item.answers[0] if item.gold_index is None else item.options[item.gold_index]


def _finding(check: str, what: str, concerns: list[Concern], items: Sequence[Item]) -> Finding:
    verdict = Verdict.FAIL if concerns else Verdict.PASS
    return Finding(check, verdict, f"{len(concerns)} of {len(items)} items {what}", (*concerns,))
