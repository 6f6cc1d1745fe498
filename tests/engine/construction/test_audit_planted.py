"""The audit names every planted fault, and nothing else."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from audit_suites import (
    PER_DATASET,
    BadSuite,
    Maker,
    Planter,
    answered,
    distractors_of,
    key_of,
    with_options,
)

from ctv_engine.construction.audit import Audit, Verdict, audit
from ctv_engine.construction.audit.checks import CHECKS
from ctv_engine.suite import Dataset, Item, Suite

SEEDS = range(4)

EQUAL_TEXTS = (
    ("The Red-Lamp!", "red lamp"),
    ("cafe\u0301 noir", "Caf\u00e9  Noir"),
    ("\uff42\uff49\uff47 sign", "a big sign"),
    ("it\u2019s gone", "Its gone."),
    ("\u201cstop\u201d", "STOP"),
)
EQUAL_VALUES = (
    ("1,000,000", "1000000"),
    ("1e6", "1 million"),
    ("50%", "0.5"),
    ("1/2", "2/4"),
    ("three", "3"),
    ("500 cm", "5 m"),
    ("\u00bd", ".50"),
    ("$7", "7 dollars"),
    ("1\u00bd hours", "90 minutes"),
    ("-4", "\u22124.0"),
)
UNIT_LEFT_OUT = (("7 kg", "7"), ("$12", "12"), ("40 %", "40"), ("3 million", "3"))


def one_letter_off(text: str) -> str:
    return text[:-1] + "x"


def numbers_with(item: Item, pair: tuple[str, str]) -> Item:
    return with_options(item, f"3456{item.key}", [*pair, "9012"])


def plant_everything(seed: int) -> BadSuite:
    """Plant each kind of fault that one item alone can have."""
    maker = Maker(seed)
    planter = Planter.on(maker)
    plant = planter.plant

    for pair in EQUAL_TEXTS:
        plant("Photos", lambda i, p=pair: with_options(i, "mine", [*p, "other"]), "equal-options")
    for pair in EQUAL_VALUES:
        plant("Charts", partial(numbers_with, pair=pair), "equal-values")
    for pair in UNIT_LEFT_OUT:
        plant("Charts", partial(numbers_with, pair=pair), "unit-left-out")

    def lettered(item: Item) -> Item:
        options = [f"{letter}. {text}" for letter, text in zip("BADC", item.options, strict=True)]
        made = replace(item, options=tuple(options))
        return answered(made, key_of(made))

    plant("Photos", lettered, "lettered-options")
    for text in ("none of the above", "both a and b", "all of these"):
        plant(
            "Photos",
            lambda i, t=text: with_options(i, key_of(i), [t, *distractors_of(i)[1:]]),
            "option-reference",
        )
    plant(
        "Photos",
        lambda i: with_options(i, key_of(i), ["12 May 2010", *distractors_of(i)[1:]]),
        "mixed-kinds",
    )
    plant(
        "Scenes",
        lambda i: with_options(i, key_of(i), ["lamb " * 61, *distractors_of(i)[1:]]),
        "long-option",
    )
    plant("Scenes", lambda i: with_options(i, "lamb " * 7, distractors_of(i)), "long-key")

    odd_keys: list[tuple[str, str, list[str], tuple[str, ...]]] = [
        ("Charts", "40 kg", ["71", "96", "183"], ()),
        ("Charts", "$40", ["71", "96", "183"], ()),
        ("Charts", "40.5", ["71", "96", "183"], ()),
        ("Charts", "40", ["71.5", "96.1", "183.7"], ()),
        ("Charts", "40", ["71 %", "96 %", "183 %"], ()),
        ("Photos", "Lamb", ["cow", "horse", "donkey"], ()),
        ("Photos", "lamb", ["Cow", "Horse", "Donkey"], ()),
        ("Photos", "lamb.", ["cow", "horse", "donkey"], ()),
        ("Photos", "40", ["cow", "horse", "donkey"], ("mixed-kinds",)),
        ("Photos", "yes", ["cow", "horse", "donkey"], ("mixed-kinds",)),
        ("Photos", "shown", ["cow", "horse", "donkey"], ()),
    ]
    for dataset, key, others, checks in odd_keys:
        plant(
            dataset,
            lambda i, k=key, o=others: with_options(i, k, o),
            "format-giveaway",
            *checks,
        )

    def accepts(item: Item, *answers: str, others: Counter[str] | None = None) -> Item:
        return answered(item, key_of(item), *answers, others=others)

    first = lambda item: distractors_of(item)[0]  # noqa: E731
    for dataset in ("Charts", "Plots", "Papers", "Sums", "Scenes"):
        plant(dataset, lambda i: accepts(i, first(i)), "accepted-distractor")
    plant("Papers", lambda i: accepts(i, f" {first(i).upper()} "), "accepted-distractor")
    plant("Scenes", lambda i: accepts(i, f"{first(i)}<OR>something"), "accepted-distractor")
    for people in (2, 3, 5):
        counted = partial(lambda i, n: accepts(i, others=Counter({first(i): n})), n=people)
        plant("Photos", counted, "accepted-distractor")
    plant("Plots", lambda i: with_options(i, "4000", ["4100", "753", "62"]), "accepted-distractor")

    plant("Charts", lambda i: with_options(i, "4000", ["4100", "753", "62"]), "near-distractor")
    plant(
        "Papers",
        lambda i: with_options(i, key_of(i), [one_letter_off(key_of(i)), *distractors_of(i)[1:]]),
        "near-distractor",
    )
    plant("Photos", lambda i: accepts(i, others=Counter({first(i): 1})), "near-distractor")
    plant("Scenes", lambda i: accepts(i, f"{first(i)}<AND>something"), "near-distractor")

    for dataset in ("Charts", "Plots", "Papers", "Photos", "Scenes"):
        plant(dataset, lambda i: answered(i, "wrywxq jj"), "refused-key")
    plant("Sums", lambda i: answered(i, "7"), "refused-key")
    plant("Papers", lambda i: answered(i, one_letter_off(key_of(i))), "partial-key")
    plant(
        "Photos",
        lambda i: answered(i, "wrywxq jj", others=Counter({key_of(i): 1})),
        "partial-key",
    )

    for dataset in ("Charts", "Photos"):
        original = planter.items[next(planter.free[dataset])]
        planter.add(replace(original, key=f"{original.key}-again"), "repeated-item")
    original = planter.items[next(planter.free["Papers"])]
    loud = original.question.upper().rstrip("?")
    planter.add(replace(original, key="loud", question=loud), "repeated-item")
    for dataset in ("Charts", "Papers"):
        original = planter.items[next(planter.free[dataset])]
        other = with_options(
            original, distractors_of(original)[0], [key_of(original), *distractors_of(original)[1:]]
        )
        planter.expect((original.dataset, original.key), "contradiction")
        planter.add(replace(other, key=f"{original.key}-other"), "contradiction")
    return planter.suite()


def named(found: Audit) -> dict[str, set[tuple[str, str]]]:
    return {
        one.check: {(concern.dataset, concern.key) for concern in one.concerns}
        for one in found.findings
        if one.concerns
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_faults_of_single_items_are_found_and_no_others(seed: int) -> None:
    bad = plant_everything(seed)
    found = audit(bad.suite)
    assert named(found) == bad.planted
    assert found.failed
    warned = {one.check for one in found.findings if one.verdict is Verdict.WARN}
    assert warned == {
        "unit-left-out", "option-reference", "mixed-kinds", "long-option", "long-key",
        "format-giveaway", "near-distractor", "partial-key",
    }  # fmt: skip


def always_first(maker: Maker, item: Item) -> Item:
    return with_options(item, key_of(item), distractors_of(item), place=0)


def long_key(maker: Maker, item: Item) -> Item:
    key = key_of(item).ljust(max(map(len, item.options)) + 1, "a")
    return with_options(item, key, distractors_of(item))


def short_key(maker: Maker, item: Item) -> Item:
    return with_options(item, key_of(item)[:4], distractors_of(item))


def unreadable(maker: Maker, item: Item) -> Item:
    return with_options(item, "unsure", distractors_of(item))


def lilac(maker: Maker, item: Item) -> Item:
    words = maker.rng.sample(maker.words, 3)
    others = [f"{word} {text}" for word, text in zip(words, distractors_of(item), strict=True)]
    return with_options(item, f"lilac {key_of(item)}", others)


def stopped(maker: Maker, item: Item) -> Item:
    return with_options(item, f"{key_of(item)}.", distractors_of(item))


WHOLE = (
    ("letter-balance", always_first, PER_DATASET),
    ("one-letter", always_first, PER_DATASET),
    ("longest-option", long_key, PER_DATASET),
    ("shortest-option", short_key, PER_DATASET),
    ("giveaway-option", unreadable, 14),
    ("giveaway-word", lilac, 14),
    ("format-giveaway", stopped, 14),
)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("check", "change", "count"), WHOLE, ids=[one[0] for one in WHOLE])
def test_a_data_set_that_tells_its_keys_fails_with_those_items(
    check: str, change: object, count: int, seed: int
) -> None:
    assert callable(change)
    maker = Maker(seed)
    planter = Planter.on(maker)
    for _ in range(count):
        planter.plant("Photos", partial(change, maker), check)
    found = audit(planter.suite().suite)
    assert found.finding(check).verdict is Verdict.FAIL, found.finding(check).measured
    assert named(found)[check] == planter.planted[check]
    related = {"letter-balance", "one-letter"} if "letter" in check else {check}
    assert {one.check for one in found.findings if one.failed} == related


def test_a_letter_that_is_never_the_key_is_told_without_items() -> None:
    maker = Maker(1)
    planter = Planter.on(maker)
    for number in range(PER_DATASET):
        change = lambda i, n=number: with_options(i, key_of(i), distractors_of(i), n % 3)  # noqa: E731
        planter.plant("Papers", change)
    found = audit(planter.suite().suite)
    balance = found.finding("letter-balance")
    assert balance.verdict is Verdict.FAIL
    assert "Papers: D is the key in 0.0% of 90" in balance.measured
    assert balance.concerns == ()
    assert not found.finding("one-letter").failed


def test_all_datasets_together_tell_what_none_tells_alone() -> None:
    """Forty per cent on A is no surprise in 30 items, but in 30 of each of twenty data sets."""
    datasets = tuple(Dataset(f"d{n}", "exact_match", 8) for n in range(20))
    maker = Maker(0)
    items = []
    for dataset in datasets:
        for number in range(30):
            place = 0 if number % 5 < 2 else 1 + number % 3
            made = maker.item("Charts", number)
            made = with_options(made, key_of(made), distractors_of(made), place)
            items.append(replace(made, dataset=dataset.name, image_digest=dataset.name))
    found = audit(Suite("s", "paired", Path(), datasets, tuple(items), ""))
    one = found.finding("one-letter")
    assert one.verdict is Verdict.FAIL
    assert one.measured.startswith("all datasets: always answering A is right in 40.0% of 600")
    assert len(one.concerns) == 240


def test_what_is_allowed_does_not_fail_and_unknown_names_are_refused() -> None:
    bad = plant_everything(0).suite
    failing = {one.check for one in audit(bad).findings if one.failed}
    assert failing < set(CHECKS)
    assert not audit(bad, allowed=failing).failed
    assert audit(bad, allowed=failing - {"refused-key"}).failed
    with pytest.raises(ValueError, match="no check 'nonsense'; use letter-balance, "):
        audit(bad, allowed=["nonsense"])
