"""What blind answers say about a suite."""

from __future__ import annotations

from audit_suites import PER_DATASET, Maker

from ctv_engine.construction.audit import (
    BLIND_CHECKS,
    EVERYTHING,
    AuditSettings,
    BlindAnswer,
    Verdict,
    audit,
    blind_findings,
)
from ctv_engine.suite import Suite

SETTINGS = AuditSettings()
SUITE = Maker(0).suite(("Charts", "Photos"))
"""Two data sets of 90 items with four options each."""


def answers(suite: Suite, right: dict[str, int]) -> list[BlindAnswer]:
    """Answers of which the first ``right`` of each data set are right."""
    found: list[BlindAnswer] = []
    for dataset, count in right.items():
        names = [item.key for item in suite.items if item.dataset == dataset]
        found += [BlindAnswer(dataset, key, n < count) for n, key in enumerate(names)]
    return found


def asked(*, seen: int = 70, **hidden: dict[str, int]) -> dict[str, list[BlindAnswer]]:
    """Answers of a checkpoint that guesses wherever nothing else is said."""
    guessed = answers(SUITE, {"Charts": 23, "Photos": 22})
    given = {name.replace("_", "-"): answers(SUITE, right) for name, right in hidden.items()}
    everything = {EVERYTHING: answers(SUITE, {"Charts": seen, "Photos": seen})}
    return {**dict.fromkeys(BLIND_CHECKS, guessed), **given, **everything}


def test_guesses_pass() -> None:
    found = blind_findings(SUITE, asked(), SETTINGS)
    assert [one.check for one in found] == ["no-image", "no-question", "options-only"]
    assert {one.verdict for one in found} == {Verdict.PASS}
    assert all(one.concerns == () for one in found)
    whole = "all datasets: with everything right in 77.8% of 180"
    assert all(whole in one.measured for one in found)


def test_what_is_found_from_the_options_alone_fails_with_those_items() -> None:
    found = blind_findings(SUITE, asked(options_only={"Charts": 22, "Photos": 50}), SETTINGS)
    verdicts = {one.check: one.verdict for one in found}
    assert verdicts == {
        "no-image": Verdict.PASS,
        "no-question": Verdict.PASS,
        "options-only": Verdict.FAIL,
    }
    told = found[2]
    assert told.measured.startswith(
        "Photos: from the options alone the checkpoint is right in 55.6% of 90"
    )
    names = [item.key for item in SUITE.items if item.dataset == "Photos"]
    assert [(c.dataset, c.key) for c in told.concerns] == [("Photos", k) for k in names[:50]]
    scopes = [(one.dataset, one.n) for one in told.measures]
    assert scopes == [("Charts", 90), ("Photos", 90), (None, 180)]


def test_beyond_chance_by_less_than_the_margin_warns() -> None:
    few = AuditSettings(blind_margin=0.4)
    found = blind_findings(SUITE, asked(no_image={"Charts": 45, "Photos": 23}), few)
    assert found[0].verdict is Verdict.WARN


def test_a_checkpoint_that_knows_nothing_can_not_clear_a_suite() -> None:
    found = blind_findings(SUITE, asked(seen=23), SETTINGS)
    assert {one.verdict for one in found} == {Verdict.WARN}
    assert "too little to tell anything" in found[0].measured


def test_items_without_an_answer_are_counted_and_not_wrong() -> None:
    given = asked()
    lost = [BlindAnswer(one.dataset, one.key, None, "image is broken") for one in given["no-image"]]
    given["no-image"] = [*lost[:10], *given["no-image"][10:]]
    found = blind_findings(SUITE, given, SETTINGS)[0]
    assert found.measured.endswith("10 items without an answer, the first: image is broken")
    assert [(m.dataset, m.n) for m in found.measures] == [
        ("Charts", PER_DATASET - 10),
        ("Photos", PER_DATASET),
        (None, 2 * PER_DATASET - 10),
    ]


def test_no_answers_at_all_are_no_pass() -> None:
    nothing = [BlindAnswer(item.dataset, item.key, None, "broken") for item in SUITE.items]
    found = blind_findings(SUITE, dict.fromkeys((*BLIND_CHECKS, EVERYTHING), nothing), SETTINGS)
    assert {one.verdict for one in found} == {Verdict.WARN}
    assert "with everything: no answers" in found[0].measured


def test_blind_failures_can_be_allowed_and_join_the_audit() -> None:
    given = asked(no_image={"Charts": 60, "Photos": 60})
    plain = audit(SUITE, allowed=["no-image"])
    assert not plain.failed
    assert plain.joined(blind_findings(SUITE, given, SETTINGS)).failed
    assert not plain.joined(blind_findings(SUITE, given, SETTINGS, ["no-image"])).failed
