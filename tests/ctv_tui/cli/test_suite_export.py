"""`ctv-tui suite export` as a person calls it."""

from __future__ import annotations

from pathlib import Path

import published
import pytest
from click.testing import CliRunner, Result

from ctv_engine.suite import Dataset, read_suite, write_suite
from ctv_engine.suite.files import DraftItem
from ctv_tui.cli import cli


@pytest.fixture
def made(tmp_path: Path) -> Path:
    items = [
        DraftItem("ChartQA", str(n), "How many?", published.picture(n % 2), ("4",), ("3", "4"), 1)
        for n in range(3)
    ]
    datasets = [Dataset("ChartQA", "exact_match", 16)]
    write_suite(tmp_path / "made", name="made", kind="paired", datasets=datasets, items=items)
    return tmp_path / "made"


def export(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["suite", "export", *map(str, arguments)])


@pytest.mark.parametrize(("name", "form"), [("made.tsv", None), ("made.jsonl", "jsonl")])
def test_the_exported_file_builds_the_same_items_again(
    name: str, form: str | None, made: Path, tmp_path: Path
) -> None:
    out = tmp_path / name
    done = export(made, "--out", out, *(("--format", form) if form else ()))
    assert (done.exit_code, done.output) == (0, f"3 items with 2 pictures in {out}\n")
    again = tmp_path / "again"
    build = ["suite", "build", "--out", str(again), "--source", f"generic={out}"]
    built = CliRunner().invoke(cli, build)
    # Its two like items are written as they are; that they repeat is for the audit to say.
    assert "suite again: 3 items" in built.output, built.output
    assert items(again) == items(made)


def items(suite: Path) -> list[tuple[object, ...]]:
    return sorted(
        (item.key, item.question, sorted(item.options), item.options[item.gold_index or 0],
         item.answers, item.image_digest)
        for item in read_suite(suite).items
    )  # fmt: skip


REFUSED = [
    (("--out", "o.csv"), "o.csv ends with none of .tsv and .jsonl; add --format"),
    (("--out", "o.tsv", "--dataset", "a\x1b[31m"), "has no dataset"),
    (("--out", "made/items.jsonl"), "lies in the suite itself"),
    ((), "--out"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_wrong_input_is_one_line_and_writes_nothing(
    arguments: tuple[str, ...], message: str, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made.parent)
    before = sorted(made.parent.rglob("*"))
    done = export("made", *arguments)
    assert done.exit_code == 2
    assert message in done.output
    assert "\x1b" not in done.output
    assert sorted(made.parent.rglob("*")) == before


def test_no_suite_and_no_place(made: Path, tmp_path: Path) -> None:
    done = export(tmp_path / "none", "--out", tmp_path / "o.tsv")
    assert (done.exit_code, "no such directory" in done.output) == (2, True)
    (tmp_path / "file").write_text("", encoding="utf-8")
    done = export(made, "--out", tmp_path / "file" / "o.tsv")
    assert done.exit_code == 1
    assert done.output.startswith("Error: ") and done.output.count("\n") == 1
