"""`ctv-tui report` where there is little to report, or something that nobody should write."""

from __future__ import annotations

import sqlite3
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from recorded_run import HOSTILE, Recorder
from report_page import ReadPage

from ctv_engine.store.rows import DatasetRow, ItemRow, Mode, PredictionRow
from ctv_engine.store.writer import Writer
from ctv_tui.cli import cli


def run_report(db: Path, out: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["report", "--db", str(db), "--out", str(out), *arguments])


def page_of(db: Path, out: Path) -> ReadPage:
    done = run_report(db, out)
    assert done.exit_code == 0, done.output
    return ReadPage((out / "report.html").read_text())


def scored_run(
    path: Path, scores: Mapping[Mode, Mapping[str, Sequence[float]]], name: str = "r"
) -> Path:
    """A run whose datasets have these scores at steps 10, 20, …; nothing else was recorded."""
    writer = Writer(path)
    datasets = list(dict.fromkeys(d for one in scores.values() for d in one if d != "macro"))
    writer.add_suite("s", [DatasetRow(d, "exact_match", 1) for d in datasets], [])
    run_id = writer.open_run(
        name=name,
        checkpoint_dir="/r",
        suite_digest="s",
        gold_digest="s" if "gold" in scores else None,
        config_json="not JSON",
        versions_json="[]",
        host="h",
    )
    steps = max(len(values) for one in scores.values() for values in one.values())
    for place in range(steps):
        checkpoint = writer.add_checkpoint(run_id, 10 * (place + 1), "/r/c", 1.0)
        for mode, series in scores.items():
            evaluation = writer.add_evaluation(checkpoint, mode, "queue", 1)
            writer.finish_evaluation(evaluation, "done")
            metric = "accuracy" if mode == "closed" else "score"
            with writer.transaction() as connection:
                connection.executemany(
                    "INSERT INTO scores (evaluation_id, dataset, metric, value, stderr, n)"
                    " VALUES (?, ?, ?, ?, 0.01, 50)",
                    [(evaluation, d, metric, values[place]) for d, values in series.items()
                     if place < len(values)],
                )  # fmt: skip
    writer.close()
    return path


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    Writer(tmp_path / "empty.db").close()
    return tmp_path / "empty.db"


def test_one_checkpoint_and_nothing_recorded_but_its_score(tmp_path: Path) -> None:
    db = scored_run(tmp_path / "one.db", {"closed": {"d": [0.5], "macro": [0.5]}})
    page = page_of(db, tmp_path / "out")
    assert (
        page.facts["best checkpoint by closed"][1] == "0.500 [0.480, 0.520]; 1 of 1 may be the best"
    )
    assert any("No gold scores in this run" in text for text in page.sentences)
    assert any("No spans were recorded" in text for text in page.sentences)
    assert any("No item has been answered yet" in text for text in page.sentences)
    assert page.table("Settings").rows == [["–", "nothing that can be read"]]


def test_constant_scores_have_no_r_but_its_reason(tmp_path: Path) -> None:
    flat = {"d": [0.5] * 6, "macro": [0.5] * 6}
    db = scored_run(tmp_path / "flat.db", {"closed": flat, "gold": flat})
    with closing(sqlite3.connect(db)) as connection:
        connection.execute(
            "INSERT INTO correlations (run_id, proxy, scope, method, window, step, n, reason)"
            " VALUES (1, 'closed', 'macro', 'pearson', 0, 60, 6, 'a series does not vary')"
        )
        connection.commit()
    page = page_of(db, tmp_path / "out")
    row = page.table("Every dataset").row("macro mean", "closed")
    assert row["Pearson"] == "–  a series does not vary, n=6"
    assert row["decisions"] == "–  gold tells no two checkpoints apart, n=6"
    assert row["noise"].startswith("0.000  [0.000, 0.000]")
    assert row["monotonicity"] == "–  a series does not vary, n=6"
    assert row["Spearman"] == "–  not written"
    assert any("Gold tells no two checkpoints apart" in text for text in page.sentences)
    assert "closed against gold" not in page.facts


def test_few_checkpoints_get_a_number_and_no_verdict(tmp_path: Path) -> None:
    closed = {"d": [0.1, 0.3, 0.2], "macro": [0.1, 0.3, 0.2]}
    gold = {"d": [0.2, 0.4, 0.5], "macro": [0.2, 0.4, 0.5]}
    db = scored_run(tmp_path / "few.db", {"closed": closed, "gold": gold})
    page = page_of(db, tmp_path / "out")
    value, small = page.facts["closed against gold"]
    assert value == "2 of 3"
    assert small.endswith("n=3: too few for a verdict")
    assert any("Only 3 checkpoints have both scores: no verdict" in t for t in page.sentences)
    assert page.table("Every dataset").row("d", "closed")["decisions"] == "67 %  2 of 3, n=3, few"


def test_scores_that_are_no_number_are_left_out_and_counted(tmp_path: Path) -> None:
    db = scored_run(
        tmp_path / "odd.db",
        {"closed": {"d": [0.5, float("inf"), 0.7], "macro": [0.5, float("nan"), 0.7]}},
    )
    page = page_of(db, tmp_path / "out")
    assert "2 scores without a finite number: left out." in page.sentences
    assert [row[0] for row in page.table("Macro mean at each").rows] == ["10", "30"]


MARKUP = (
    "<script>alert(1)</script>",
    '"><img src=https://evil.example/x onerror=alert(1)>',
    "$\\frac{1}{0}$ url(https://evil.example/y)",
    "]]></style><!-- &amp; #0072b2",
    f"{HOSTILE[:6]}\u202egnp.exe\x9b31m\x00\ufffe",
)


def test_names_are_shown_and_never_obeyed(tmp_path: Path) -> None:
    db = scored_run(
        tmp_path / "evil.db",
        {m: {name: [0.4, 0.6] for name in (*MARKUP, "macro")} for m in ("closed", "gold")},
        name=MARKUP[0],
    )
    out = tmp_path / "out"
    page = page_of(db, out)
    assert "script" not in page.tags and "img" not in page.tags
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    names = {row[0] for row in page.table("Last complete score").rows}
    assert names == {
        "macro mean",
        *MARKUP[:4],
        "\\x1b[2J\\x1b]\\u202egnp.exe\\x9b31m\\x00\\ufffe",
    }
    for svg in page.svgs:
        ET.fromstring(svg)
    text = (out / "figures" / "trajectories.svg").read_text()
    assert "&lt;script&gt;alert(1)" in text
    assert "\\frac{1}{0}" in text
    ET.fromstring(text)
    printed = run_report(db, tmp_path / "again").output
    assert not {"\x1b", "\x07", "\x00", "\u202e"} & set(printed)


def test_reasons_letters_and_items_that_failed(tmp_path: Path) -> None:
    """Four items, keys A A B C; answers A B B and one failure; one open answer is not scored."""
    writer = Writer(tmp_path / "x.db")
    keys = (0, 0, 1, 2)
    ids = writer.add_suite(
        "s",
        [DatasetRow("d", "judge", 4)],
        [ItemRow("d", str(n), "q", "[]", key, "[]", "i", f"p{n}") for n, key in enumerate(keys)],
    )
    run_id = writer.open_run(
        name="r", checkpoint_dir="/r", suite_digest="s", gold_digest=None, config_json="{}",
        versions_json="{}", host="h",
    )  # fmt: skip
    worker = writer.add_worker(run_id, "h", "cpu")
    checkpoint = writer.add_checkpoint(run_id, 7, "/r/7", 1.0)
    for mode in ("closed", "open"):
        evaluation = writer.add_evaluation(checkpoint, mode, "queue", 4)  # type: ignore[arg-type]
        rows = []
        for n, key in enumerate(keys):
            failed, closed = mode == "closed" and n == 3, mode == "closed"
            answer = "ABB?"[n] if closed else "words"
            unscored = not closed and n == 0
            rows.append(
                PredictionRow(
                    evaluation, ids["d", str(n)], 0, worker, n, 1,
                    "failed" if failed else "ok",
                    reason="<b>out of memory</b>" if failed else "no judge" if unscored else None,
                    answer=None if failed else answer,
                    correct=int("ABC"[key] == answer) if closed and not failed else None,
                    score=None if closed or unscored else 1.0,
                    finish_reason=None if closed else ("length" if n == 1 else "stop"),
                    output_tokens=None if closed else 2**n, prefill_s=0.5,
                )
            )  # fmt: skip
        writer.add_results(rows, [])
        writer.refresh_scores(evaluation)
        writer.finish_evaluation(evaluation, "done")
    writer.close()
    page = page_of(tmp_path / "x.db", tmp_path / "out")
    assert page.table("Why items failed").rows == [
        ["closed", "failed", "1", "<b>out of memory</b>", "7"],
        ["open", "unscored", "1", "no judge", "7"],
    ]
    assert page.facts["failed or unscored"][0] == "2 of 8"
    (letters,) = page.table("Recall per letter").rows
    assert letters[:3] == ["7", "0.500  2 keys, 1 answers", "1.000  1 keys, 2 answers"]
    assert letters[3] == "0.250"  # population deviation of 1/2 and 1
    assert any(t.startswith("25 % of 4 open answers hit the limit") for t in page.sentences)
    counted = (tmp_path / "out" / "figures" / "output-lengths.csv").read_text().splitlines()
    assert counted[1:] == ["0,0,0,,", "1,1,1,0,1", "2,2,1,1,2", "3,4,1,0,4", "5,8,1,0,8"]


def test_what_closed_saves_against_one_item_at_a_time(tmp_path: Path) -> None:
    """One second an item against eight and, in the engine's own open mode, against two."""
    writer = Writer(tmp_path / "x.db")
    ids = writer.add_suite(
        "s", [DatasetRow("d", "anls", 1)], [ItemRow("d", "k", "q", "[]", 0, "[]", "i", "p")]
    )
    runs: tuple[tuple[str, str, dict[Mode, float]], ...] = (
        ("baseline", '{"batch_size": 1, "pairing": false}', {"open": 8.0}),
        ("run", "{}", {"closed": 1.0, "open": 2.0}),
    )
    for name, config, costs in runs:
        run_id = writer.open_run(
            name=name, checkpoint_dir=f"/{name}", suite_digest="s", gold_digest=None,
            config_json=config, versions_json="{}", host="h",
        )  # fmt: skip
        worker = writer.add_worker(run_id, "h", "cpu")
        checkpoint = writer.add_checkpoint(run_id, 5, f"/{name}/5", 1.0)
        writer.set_checkpoint(checkpoint, "done", digest="the same weights")
        for mode, seconds in costs.items():
            evaluation = writer.add_evaluation(checkpoint, mode, "queue", 1)
            row = PredictionRow(
                evaluation, ids["d", "k"], 0, worker, 0, 1, "ok", answer="A", correct=1,
                score=1.0, prefill_s=1.0, decode_s=seconds - 1 or None,
            )  # fmt: skip
            writer.add_results([row], [])
            writer.refresh_scores(evaluation)
            writer.finish_evaluation(evaluation, "done")
    writer.close()
    page = page_of(tmp_path / "x.db", tmp_path / "out")
    assert page.facts["an item of closed is"][0] == "50 % cheaper"
    ends = [row[4] for row in page.table("Items of all checkpoints").rows]
    assert ends == ["–", "–"]  # why the answers ended was not stored
    assert "Closed is 88 % cheaper than open one item at a time (run baseline on h, step 5)." in (
        page.sentences
    )


def test_a_name_in_a_script_that_the_font_lacks(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    db = scored_run(tmp_path / "cjk.db", {"closed": {"数学": [0.5], "macro": [0.5]}})
    page_of(db, tmp_path / "out")
    assert "数学" in (tmp_path / "out" / "figures" / "trajectories.svg").read_text()
    assert not recwarn.list


def test_a_broken_file_is_one_clear_line(tmp_path: Path) -> None:
    db = scored_run(tmp_path / "broken.db", {"closed": {"d": [0.5], "macro": [0.5]}})
    with closing(sqlite3.connect(db)) as connection:
        connection.execute("DROP VIEW trajectory")
    done = run_report(db, tmp_path / "out")
    assert done.exit_code == 3
    assert done.output == f"Error: {db}: no such table: trajectory\n"
    assert not (tmp_path / "out").exists()


def test_more_datasets_than_a_figure_holds(tmp_path: Path) -> None:
    names = {f"set-{n:02d}": [0.2, 0.3 + n / 100] for n in range(14)}
    db = scored_run(tmp_path / "many.db", {"closed": {**names, "macro": [0.2, 0.4]}})
    page = page_of(db, tmp_path / "out")
    assert len(page.table("Last complete score").rows) == 15
    figures = {path.name for path in (tmp_path / "out" / "figures").glob("trajectories-*.svg")}
    assert figures == {f"trajectories-{n}.svg" for n in (1, 2)}


def test_a_chosen_run(tmp_path: Path) -> None:
    db = scored_run(tmp_path / "two.db", {"closed": {"d": [0.5], "macro": [0.5]}})
    Recorder(db, name="later", datasets=["ChartQA"]).close()
    assert "run later has no score yet" in run_report(db, tmp_path / "none").output
    assert run_report(db, tmp_path / "out", "--run", "r").exit_code == 0
    assert "1 other run in this file" in (tmp_path / "out" / "report.html").read_text()
    done = run_report(db, tmp_path / "other", "--run", "nobody")
    assert done.exit_code == 2
    assert "no run 'nobody'; runs in it: r (id 1), later (id 2)" in done.output


@pytest.mark.parametrize(
    ("db", "out", "status", "words"),
    [
        ("none.db", "out", 3, "no such database"),
        ("text.db", "out", 3, "not an SQLite database"),
        ("empty.db", "out", 2, "no run in it yet"),
        ("empty.db", "full", 2, "not empty; choose another folder for --out, or --force"),
        ("empty.db", "text.db", 2, "not a folder"),
        ("empty.db", "text.db/under", 2, "is not a folder"),
    ],
)
def test_bad_input_is_one_clear_line(
    empty: Path, db: str, out: str, status: int, words: str
) -> None:
    folder = empty.parent
    (folder / "text.db").write_text("hello, this is no database at all" * 100)
    (folder / "full").mkdir()
    (folder / "full" / "mine.txt").write_text("mine")
    before = _files(folder)
    done = run_report(folder / db, folder / out)
    assert done.exit_code == status, done.output
    assert words in done.output
    assert len(done.output.strip().splitlines()) == 1
    assert _files(folder) == before


def _files(folder: Path) -> list[Path]:
    """What stands in a folder, but for what SQLite puts beside a database that is read."""
    return sorted(path for path in folder.rglob("*") if path.suffix not in (".db-shm", ".db-wal"))


def test_force_replaces_what_a_report_made_and_nothing_else(tmp_path: Path) -> None:
    db = scored_run(tmp_path / "a.db", {"closed": {"d": [0.5], "macro": [0.5]}})
    out = tmp_path / "out"
    assert run_report(db, out).exit_code == 0
    (out / "notes.txt").write_text("mine")
    (out / "figures" / "mine.svg").write_text("mine")
    (out / "report.html").write_text("changed")
    assert run_report(db, out).exit_code == 2
    assert run_report(db, out, "--force").exit_code == 0
    assert (out / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / "figures" / "mine.svg").read_text() == "mine"
    other = tmp_path / "other"
    other.mkdir()
    (other / "report.txt").write_text("mine")
    done = run_report(db, other, "--force")
    assert done.exit_code == 2
    assert "report.txt: not made by ctv-tui, so it is not replaced" in done.output
    assert [path.name for path in other.iterdir()] == ["report.txt"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
