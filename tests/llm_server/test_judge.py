"""The judge's own prompt and form, and the command, with a real model."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ctv_engine.scoring.judge import prompt_hash
from ctv_engine.store.judged import WAITS
from ctv_engine.store.rows import DatasetRow, ItemRow, PredictionRow
from ctv_engine.store.writer import Writer

ANSWERS = [
    ("What colour is the bus?", "red", "The bus is red."),
    ("What colour is the bus?", "red", "It is blue."),
    ("What animals are there?", "a dog <AND> a cat", "I see a dog."),
    ("Who is it?", "Marie Curie", ""),
]


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A finished run with open answers that wait for a judge."""
    path = tmp_path / "run.db"
    writer = Writer(path)
    items = writer.add_suite(
        "suite",
        [DatasetRow("MMVet", "judge", len(ANSWERS))],
        [
            ItemRow("MMVet", str(n), question, "[]", None, json.dumps([answer]), "i.png", f"d{n}")
            for n, (question, answer, _) in enumerate(ANSWERS)
        ],
    )
    run = writer.open_run(
        name="run",
        checkpoint_dir="/run",
        suite_digest="suite",
        gold_digest=None,
        config_json="{}",
        versions_json="{}",
        host="h",
    )
    worker = writer.add_worker(run, "h", "cpu:0")
    checkpoint = writer.add_checkpoint(run, 10, "/run/10", 1.0)
    evaluation = writer.add_evaluation(checkpoint, "open", "queue", len(ANSWERS))
    rows = [
        PredictionRow(evaluation, item, 0, worker, 0, 1, "ok", WAITS, answer=text)
        for item, (_, _, text) in zip(items.values(), ANSWERS, strict=True)
    ]
    writer.add_results(rows, [])
    writer.finish_evaluation(evaluation, "done")
    writer.close()
    return path


@pytest.fixture
def providers_file(llm_server: str, tmp_path: Path) -> Path:
    """The model as judge. Its replies are short: it may go on for ever."""
    path = tmp_path / "providers.toml"
    path.write_text(
        f'[providers.judge]\nbase_url = "{llm_server}"\nmodel = "smollm2"\n'
        "max_concurrent = 2\nmax_tokens = 64\n",
        encoding="utf-8",
    )
    return path


def test_every_answer_gets_a_score_in_tenths_or_a_reason(db: Path, providers_file: Path) -> None:
    command = [sys.executable, "-m", "ctv_tui", "judge", "--db", str(db)]
    command += ["--judge", str(providers_file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    connection = sqlite3.connect(db)
    rows = connection.execute("SELECT score, reason FROM predictions ORDER BY id").fetchall()
    scores = connection.execute("SELECT value, n FROM scores WHERE metric = 'judge'").fetchall()
    (versions,) = connection.execute("SELECT versions_json FROM runs").fetchone()
    connection.close()
    assert rows[-1] == (0.0, None)  # an empty answer needs no judge
    scored = [score for score, _ in rows if score is not None]
    assert len(scored) >= 2, rows
    assert all(0 <= score <= 1 and score == round(score, 1) for score in scored)
    assert all(reason.startswith("not judged: ") for score, reason in rows if score is None)
    assert done.returncode == (0 if len(scored) == len(rows) else 1)
    assert f"{len(scored)} answers scored by judge/smollm2" in done.stdout
    assert scores == [(pytest.approx(sum(scored) / len(scored)), len(scored))]
    assert prompt_hash() in versions
