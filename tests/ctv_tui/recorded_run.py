"""A recorded run: ten checkpoints of a training run, written through the engine's own writer.

The times are fixed: ``NOW`` is the instant at which the recording ends, with the open evaluation of
checkpoint-1000 under way.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from ctv_engine.service.tracking import Tracking
from ctv_engine.store.evidence import write_evidence
from ctv_engine.store.rows import (
    CorrelationRow,
    DatasetRow,
    ItemRow,
    Mode,
    PredictionRow,
    SampleRow,
    SpanRow,
    WorkRow,
)
from ctv_engine.store.writer import Writer

START = 1_790_000_000.0
HOSTILE = "\x1b[2J\x1b]0;owned\x07[red]not markup[/red]\u202egnp.exe\x9b31m\r\n"

DATASETS = {
    "ChartQA": ("exact_match", 40, 0.30, 0.62),
    "DocVQA": ("anls", 40, 0.38, 0.78),
    "InfoVQA": ("anls", 40, 0.28, 0.58),
    "MMVet": ("judge", 30, 0.25, 0.40),
    "MathVista": ("exact_match", 30, 0.24, 0.36),
    "VizWiz": ("vqa", 40, 0.33, 0.55),
}
GOLD_ITEMS = 60
STEPS = range(100, 1001, 100)
GOLD_STEPS = range(100, 801, 100)
WINDOW = 5


@dataclass
class Clock:
    """The time that the writer sees."""

    now: float = START

    def __call__(self) -> float:
        return self.now


@contextmanager
def clock_of_writer(clock: Clock) -> Iterator[None]:
    with patch("ctv_engine.store.writer.time.time", clock):
        yield


class Recorder:
    """Writes a run, one evaluation at a time."""

    def __init__(
        self, path: Path, *, name: str = "qwen-sft-3", datasets: Sequence[str] = tuple(DATASETS)
    ) -> None:
        self.clock = Clock()
        self.random = random.Random(7)
        self.datasets = tuple(datasets)
        with clock_of_writer(self.clock):
            self.writer = Writer(path)
            self.items = {
                "suite": self._add_suite("suite", None),
                "gold": self._add_suite("gold", GOLD_ITEMS),
            }
            self.run_id = self.writer.open_run(
                name=name,
                checkpoint_dir=f"/runs/{name}",
                suite_digest="suite",
                gold_digest="gold",
                config_json="{}",
                versions_json="{}",
                host="node-7",
            )
            self.workers = [
                self.writer.add_worker(self.run_id, "node-7", f"cuda:{n}") for n in (0, 1)
            ]
            for n, worker in enumerate(self.workers):
                self.writer.set_worker(worker, "ready", pid=4100 + n, gpu_uuid=f"GPU-{n}a2b3c4d")
        self.checkpoints: dict[int, int] = {}
        self.values: dict[tuple[Mode, int], float] = {}
        self.batches = 0

    def _add_suite(self, digest: str, size: int | None) -> list[tuple[str, int]]:
        rows, items = [], []
        for name in self.datasets:
            metric, count, *_ = DATASETS.get(name, DATASETS["ChartQA"])
            count = size or count
            rows.append(DatasetRow(name, metric, count))
            items += [
                ItemRow(name, f"{n:03d}", "?", '["a", "b"]', 0, '["a"]', "i.png", f"d{n}")
                for n in range(count)
            ]
        ids = self.writer.add_suite(digest, rows, items)
        return [(dataset, item_id) for (dataset, _), item_id in ids.items()]

    @contextmanager
    def at(self, seconds: float = 0.0) -> Iterator[Writer]:
        """Write ``seconds`` later."""
        self.clock.now += seconds
        with clock_of_writer(self.clock):
            yield self.writer

    def add_checkpoint(self, step: int, state: str = "ready") -> int:
        with self.at(1.0) as writer:
            key = writer.add_checkpoint(
                self.run_id, step, f"/runs/qwen-sft-3/checkpoint-{step}", self.clock.now
            )
            writer.set_checkpoint(key, state, ready_at=self.clock.now)  # type: ignore[arg-type]
            writer.add_event("info", "checkpoint", f"checkpoint-{step} is ready", key)
        self.checkpoints[step] = key
        return key

    def evaluate(self, step: int, mode: Mode, *, share: float = 1.0, batch: int = 20) -> int:
        """Score ``share`` of the items on two workers; with less than all it keeps running."""
        items = self.items["gold" if mode == "gold" else "suite"]
        # Batches interleave the datasets, as a real plan that sorts by cost does.
        items = sorted(items, key=lambda item: (item[1] * 7919) % 1009)
        with self.at(0.5) as writer:
            key = writer.add_evaluation(self.checkpoints[step], mode, "queue", len(items))
            writer.start_evaluation(key)
        started = self.clock.now
        free = [started + 0.4, started + 0.5]
        for n, worker in enumerate(self.workers):
            with self.at() as writer:
                writer.add_results([], [SpanRow(worker, key, None, "load", started, free[n])])
        wanted = items[: round(len(items) * share)]
        for first in range(0, len(wanted), batch):
            chosen = wanted[first : first + batch]
            n = min((0, 1), key=lambda n: free[n])
            free[n] = self._batch(key, mode, step, chosen, self.workers[n], free[n])
        self.clock.now = max(free)
        with self.at() as writer:
            writer.refresh_scores(key)
            if share >= 1.0:
                writer.finish_evaluation(key, "done")
            found = writer.query(
                "SELECT value FROM scores WHERE evaluation_id = ? AND dataset = 'macro'"
                " AND metric = ?",
                key,
                "accuracy" if mode == "closed" else "score",
            )
        if found:
            self.values[mode, step] = found[0][0]
        return key

    def _batch(
        self,
        key: int,
        mode: Mode,
        step: int,
        items: Sequence[tuple[str, int]],
        worker: int,
        start: float,
    ) -> float:
        self.batches += 1
        rows = [self._prediction(key, mode, step, item, worker) for item in items]
        input_s = 0.02
        prefill_s = math.fsum(row.prefill_s or 0.0 for row in rows)
        decode_s = math.fsum(row.decode_s or 0.0 for row in rows)
        spans = []
        for kind, length in (("input", input_s), ("prefill", prefill_s), ("decode", decode_s)):
            if length:
                spans.append(SpanRow(worker, key, self.batches, kind, start, start + length))  # type: ignore[arg-type]
                start += length
        self.clock.now = max(self.clock.now, start)
        with self.at() as writer:
            writer.add_results(rows, spans, {key: work_of(rows, mode)})
        return start

    def _prediction(
        self, key: int, mode: Mode, step: int, item: tuple[str, int], worker: int
    ) -> PredictionRow:
        dataset, item_id = item
        _, _, low, high = DATASETS.get(dataset, DATASETS["ChartQA"])
        share = step / max(STEPS)
        skill = low + (high - low) * share**0.7
        if mode == "open":
            skill = skill * 0.85 + 0.12 * math.sin(step / 130 + len(dataset))
        right = int(self.random.random() < skill)
        closed = mode == "closed"
        tokens = 1 if closed else min(128, int(self.random.lognormvariate(2.2, 1.0)) + 1)
        return PredictionRow(
            evaluation_id=key,
            item_id=item_id,
            permutation=0,
            worker_id=worker,
            batch_id=self.batches,
            attempt=1,
            status="ok",
            answer="A" if closed else f"answer {HOSTILE}",
            score=None if closed else float(right),
            correct=right if closed else None,
            gold_prob=0.25 + 0.5 * right if closed else None,
            option_mass=0.97 if closed else None,
            prompt_tokens=310,
            output_tokens=tokens,
            finish_reason=None if closed else "length" if tokens == 128 else "stop",
            prefill_s=0.012 + 0.0004 * len(dataset),
            decode_s=None if closed else 0.0035 * tokens,
        )

    def correlate(self, step: int) -> None:
        """Write the rolling and whole-run rows as of ``step``."""
        rows = []
        for proxy in ("closed", "open"):
            known = [s for s in STEPS if (proxy, s) in self.values and ("gold", s) in self.values]
            known = [s for s in known if s <= step]
            for window, chosen in ((WINDOW, known[-WINDOW:]), (0, known)):
                xs = [self.values[proxy, s] for s in chosen]  # type: ignore[index]
                ys = [self.values["gold", s] for s in chosen]
                rows.append(correlation_row(proxy, "macro", window, step, xs, ys))
            for dataset in self.datasets:
                xs, ys = self._values(proxy, dataset), self._values("gold", dataset)
                window = [s for s in known if s in xs and s in ys][-WINDOW:]
                rows.append(
                    correlation_row(
                        proxy, f"dataset:{dataset}", WINDOW, step,
                        [xs[s] for s in window], [ys[s] for s in window],
                    )
                )  # fmt: skip
                n = len(known)
                rows.append(
                    CorrelationRow(
                        proxy,
                        f"dataset:{dataset}",
                        "pearson",
                        0,
                        step,
                        0.5 if n > 2 else None,
                        -0.1 if n > 3 else None,
                        0.9 if n > 3 else None,
                        n,
                        None if n > 2 else "fewer than 3 checkpoints",
                    )
                )
        with self.at() as writer:
            writer.add_correlations(self.run_id, rows)

    def weigh(self) -> None:
        """Write what the engine writes beside Pearson's r: ranks, evidence and ranking."""
        with self.at() as writer:
            tracking = Tracking(self.run_id, WINDOW)
            found = tracking.compute(tracking.read(writer.connection))
            write_evidence(writer, self.run_id, found.evidence, found.rankings)
            writer.add_correlations(
                self.run_id,
                [row for row in found.correlations if (row.method, row.window) == ("spearman", 0)],
            )

    def _values(self, mode: str, dataset: str) -> dict[int, float]:
        """The scores of a dataset's own metric by step."""
        found = self.writer.query(
            "SELECT step, value FROM trajectory WHERE run_id = ? AND mode = ? AND dataset = ?"
            " AND metric = ? AND value IS NOT NULL",
            self.run_id, mode, dataset, "accuracy" if mode == "closed" else "score",
        )  # fmt: skip
        return dict(found)

    def sample(self, seconds: int = 60) -> None:
        """Write one reading a second of both GPUs, ending now."""
        rows = []
        for back in range(seconds, 0, -1):
            for n in (0, 1):
                busy = 96.0 - 3 * n - self.random.random() * 8
                busy = 12.0 if 20 < back < 26 and n else busy
                rows.append(
                    SampleRow(
                        at=self.clock.now - back + 0.5,
                        gpu_uuid=f"GPU-{n}a2b3c4d",
                        host="node-7",
                        utilisation=busy,
                        memory_used=61_200_000_000 + n * 10**9,
                        memory_total=80_000_000_000,
                        power_w=388.0 - n,
                        temperature_c=61.0 + n,
                        sm_clock_mhz=1410.0,
                        throttle="power" if n else None,
                        status="ok",
                    )
                )
        with self.at() as writer:
            writer.add_samples(rows)

    def beat(self, state: str = "scoring") -> None:
        with self.at() as writer:
            writer.beat(
                run_id=self.run_id,
                pid=4099,
                host="node-7",
                state=state,  # type: ignore[arg-type]
                version="0.1.0",
            )

    def close(self) -> None:
        self.writer.close()


def work_of(rows: Sequence[PredictionRow], mode: Mode) -> WorkRow:
    """A batch without sharing: prompts of 310 tokens padded to 320, every picture once."""
    written = [row.output_tokens or 1 for row in rows]
    closed = mode == "closed"
    return WorkRow(
        forwards=1 if closed else max(written),
        prompt_tokens=310 * len(rows),
        processed_tokens=320 * len(rows),
        row_steps=0 if closed else sum(written) - len(rows),
        images_decoded=len(rows) if closed else 0,
        images_reused=0 if closed else len(rows),
    )


def correlation_row(
    proxy: str, scope: str, window: int, step: int, xs: Sequence[float], ys: Sequence[float]
) -> CorrelationRow:
    """Pearson's r with a Fisher interval, as the engine stores it."""
    n = len(xs)
    if n < 3:
        reason = "fewer than 3 checkpoints"
        return CorrelationRow(proxy, scope, "pearson", window, step, None, None, None, n, reason)  # type: ignore[arg-type]
    mx, my = math.fsum(xs) / n, math.fsum(ys) / n
    sxy = math.fsum((x - mx) * (y - my) for x, y in zip(xs, ys, strict=True))
    sxx = math.fsum((x - mx) ** 2 for x in xs)
    syy = math.fsum((y - my) ** 2 for y in ys)
    if not sxx * syy:
        reason = "a series does not vary"
        return CorrelationRow(proxy, scope, "pearson", window, step, None, None, None, n, reason)  # type: ignore[arg-type]
    r = max(-0.999, min(0.999, sxy / math.sqrt(sxx * syy)))
    low = high = None
    if n > 3:
        half = 1.96 / math.sqrt(n - 3)
        low, high = math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)
    return CorrelationRow(proxy, scope, "pearson", window, step, r, low, high, n)  # type: ignore[arg-type]


def record(path: Path, *, name: str = "qwen-sft-3", live: bool = False) -> Recorder:
    """Write the whole recording and return its recorder; ``live`` ends it at the present."""
    recorder = Recorder(path, name=name)
    for step in STEPS:
        key = recorder.add_checkpoint(step)
        recorder.evaluate(step, "closed")
        recorder.evaluate(step, "open", share=0.61 if step == max(STEPS) else 1.0)
        if step in GOLD_STEPS:
            recorder.evaluate(step, "gold", batch=60)
        recorder.correlate(step)
        with recorder.at() as writer:
            state = "scoring" if step == max(STEPS) else "done"
            writer.set_checkpoint(key, state, done_at=recorder.clock.now)  # type: ignore[arg-type]
    recorder.weigh()
    recorder.add_checkpoint(1100)
    with recorder.at() as writer:
        writer.add_event("warning", "capped", "9 % of the open answers hit the limit")
        writer.add_event("error", "checkpoint", f"checkpoint-50: broken {HOSTILE}")
    recorder.sample()
    recorder.beat()
    if live:
        _move_to_now(recorder)
    return recorder


def _move_to_now(recorder: Recorder) -> None:
    by = time.time() - recorder.clock.now
    recorder.clock.now += by
    columns = {
        "engine": ["heartbeat_at"],
        "gpu_samples": ["at"],
        "evaluations": ["started_at", "finished_at"],
        "spans": ["started_at", "ended_at"],
        "workers": ["started_at", "ready_at"],
        "events": ["at"],
    }
    with recorder.writer.transaction() as connection:
        for table, names in columns.items():
            moved = ", ".join(f"{name} = {name} + {by}" for name in names)
            connection.execute(f"UPDATE {table} SET {moved}")


def screenshot_path(default: Path, name: str) -> Path:
    """Where a screenshot goes: into the folder that CTV_SCREENSHOTS names, to be looked at."""
    folder = Path(os.environ.get("CTV_SCREENSHOTS") or default)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name
