"""Runs with debiasing and cloze scores, from directory to scores; answers stay what they are."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from engine_run import ANSWERS, EngineRun, query

from ctv_engine.settings import Settings
from ctv_engine.stats.debias import cyclic


def finished(place: Path, checkpoint: Path, suite: Any, **values: Any) -> Path:
    run = EngineRun(
        Settings(
            db=str(place / "run.db"),
            suite=str(suite.directory),
            checkpoints=(str(checkpoint),),
            devices="cpu",
            poll_s=0.1,
            quiet_s=0.1,
            cache_dir=str(place.parent / "inputs"),
            batch_size=5,
            drain=True,
            **values,
        )
    )
    assert run.finish() == 0, run.output()
    return run.db


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, checkpoints: list[Path], suite: Any) -> Path:
    return finished(tmp_path_factory.mktemp("plain"), checkpoints[0], suite)


@pytest.fixture(scope="module")
def further(tmp_path_factory: pytest.TempPathFactory, checkpoints: list[Path], suite: Any) -> Path:
    place = tmp_path_factory.mktemp("further")
    return finished(place, checkpoints[0], suite, debias="cyclic", cloze=True)


def test_every_answer_and_every_plain_score_is_the_same(plain: Path, further: Path) -> None:
    assert query(further, ANSWERS) == query(plain, ANSWERS) != []
    scores = (
        "SELECT mode, dataset, metric, value, s.stderr, n FROM scores s JOIN evaluations e"
        " ON e.id = s.evaluation_id WHERE metric NOT IN ('accuracy_debiased', 'cloze')"
        " ORDER BY 1, 2, 3"
    )
    assert query(further, scores) == query(plain, scores) != []
    counts = "SELECT mode, planned, done, failed FROM evaluations ORDER BY mode"
    assert (
        query(further, counts)
        == query(plain, counts)
        == [
            ("closed", 24, 24, 0),
            ("open", 24, 24, 0),
        ]
    )
    assert query(plain, "SELECT count(*), count(cloze_correct) FROM predictions") == [(48, 0)]
    assert query(plain, "SELECT count(*) FROM rotations") == [(0,)]


def test_debiased_scores_are_those_of_the_stored_rotations(further: Path) -> None:
    rows = query(
        further,
        "SELECT i.dataset, i.gold_index, i.id, 0, p.option_logprobs_json FROM predictions p"
        " JOIN items i ON i.id = p.item_id WHERE p.option_logprobs_json NOT NULL"
        " UNION ALL SELECT i.dataset, i.gold_index, i.id, r.permutation, r.option_logprobs_json"
        " FROM rotations r JOIN items i ON i.id = r.item_id ORDER BY 3, 4",
    )
    assert len(rows) == 24 * 4
    right: dict[str, list[bool]] = defaultdict(list)
    for start in range(0, len(rows), 4):
        dataset, gold = rows[start][:2]
        turns = [json.loads(row[4]) for row in rows[start : start + 4]]
        right[dataset].append(int(cyclic(turns).argmax()) == gold)
    wanted = {dataset: (sum(values) / 12, 12) for dataset, values in right.items()}
    wanted["macro"] = (sum(value for value, _ in wanted.values()) / 2, 24)
    scores = "SELECT dataset, value, n FROM scores WHERE metric = 'accuracy_debiased'"
    assert {row[0]: row[1:] for row in query(further, scores)} == wanted


def test_cloze_scores_are_those_of_the_stored_texts(further: Path) -> None:
    rows = query(
        further,
        "SELECT i.dataset, i.gold_index, cloze_correct, cloze_logprobs_json FROM predictions p"
        " JOIN items i ON i.id = p.item_id JOIN evaluations e ON e.id = p.evaluation_id"
        " WHERE mode = 'closed'",
    )
    right: dict[str, list[int]] = defaultdict(list)
    for dataset, gold, correct, text in rows:
        values = json.loads(text)
        assert correct == (values.index(max(values)) == gold)
        right[dataset].append(correct)
    wanted = {dataset: (sum(values) / 12, 12) for dataset, values in right.items()}
    wanted["macro"] = (sum(value for value, _ in wanted.values()) / 2, 24)
    scores = "SELECT dataset, value, n FROM scores WHERE metric = 'cloze'"
    assert {row[0]: row[1:] for row in query(further, scores)} == wanted
