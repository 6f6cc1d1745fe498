"""A run whose answers a test says item by item."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner, Result

from ctv_engine.store.rows import DatasetRow, ItemRow, Mode, PredictionRow
from ctv_engine.store.writer import Writer
from ctv_tui.cli import cli

ITEMS = 200


class Run:
    """A run over two datasets of 100 items, an image each; answers are said item by item."""

    def __init__(self, path: Path, *, gold: bool = True) -> None:
        self.path = path
        self.writer = Writer(path)
        halves = {"easy": range(ITEMS // 2), "hard": range(ITEMS // 2, ITEMS)}
        ids = self.writer.add_suite(
            "suite",
            [DatasetRow(name, "exact_match", len(half)) for name, half in halves.items()],
            [
                ItemRow(name, f"{n:03d}", "?", '["a", "b"]', 0, '["a"]', f"{n}.png", f"image-{n}")
                for name, half in halves.items()
                for n in half
            ],
        )
        self.items = list(ids.values())
        self.run_id = self.writer.open_run(
            name="run\x1b[2J",
            checkpoint_dir="/runs/r",
            suite_digest="suite",
            gold_digest="suite" if gold else None,
            config_json="{}",
            versions_json="{}",
            host="h",
        )
        self.worker = self.writer.add_worker(self.run_id, "h", "cpu:0")
        self.checkpoints: dict[int, int] = {}

    def answer(
        self, step: int, mode: Mode, right: Callable[[int], object], *, done: bool = True
    ) -> None:
        """Score every item: right, wrong, or (None) not at all."""
        if step not in self.checkpoints:
            self.checkpoints[step] = self.writer.add_checkpoint(self.run_id, step, f"/c-{step}", 1)
        key = self.writer.add_evaluation(self.checkpoints[step], mode, "queue", ITEMS)
        self.writer.start_evaluation(key)
        closed = mode == "closed"
        rows = []
        for n, item in enumerate(self.items):
            value = right(n)
            failed = value is None
            rows.append(
                PredictionRow(
                    evaluation_id=key,
                    item_id=item,
                    permutation=0,
                    worker_id=self.worker,
                    batch_id=0,
                    attempt=1,
                    status="failed" if failed else "ok",
                    reason="broken picture" if failed else None,
                    correct=int(bool(value)) if closed and not failed else None,
                    score=float(bool(value)) if not closed and not failed else None,
                )
            )
        self.writer.add_results(rows, [], {})
        self.writer.refresh_scores(key)
        if done:
            self.writer.finish_evaluation(key, "done")

    def call(self, *arguments: str) -> Result:
        """Call a command on the database, which is closed then."""
        self.writer.close()
        return CliRunner().invoke(cli, [*arguments, "--db", str(self.path)])

    def best(self, *options: str) -> Result:
        return self.call("best", *options)
