"""A recorded run to look into: items with questions, options and pictures, and eight GPUs.

Closed and open forms are answered together, so that their spans interleave, and readings of the
GPUs have every kind of missing value. ``FIRST_APART`` checkpoints were evaluated one form after the
other. Written through the engine's own writer.
"""

from __future__ import annotations

import json
import math
import random
import struct
import zlib
from pathlib import Path

from recorded_run import HOSTILE, START, Clock, clock_of_writer

from ctv_engine.store.rows import (
    DatasetRow,
    ItemRow,
    PredictionRow,
    SampleRow,
    SpanRow,
)
from ctv_engine.store.writer import Writer

STEPS = tuple(range(100, 901, 100))
FIRST_APART = 3
LETTERS = "ABCD"
LONG = "the same words over and over, " * 3_500
QUESTIONS = (
    ("ChartQA", "What is the difference between the highest and the lowest value in this chart?",
     ("12", "14", "21", "41"), 1, ("14", "fourteen")),
    ("ChartQA", "Which country has the second largest share of renewable energy in 2019?",
     ("Norway", "Iceland", "Brazil", "New Zealand"), 2, ("Brazil",)),
    ("DocVQA", "On which date was the letter signed?",
     ("12 May 1987", "21 May 1987", "12 March 1978", "not given"), 0, ("12 May 1987",)),
    ("DocVQA", "Who is named as the recipient of the invoice?",
     ("Acme Tobacco Research", "Dr. H. Lindqvist", "the accounting department", "nobody"), 1,
     ("Dr. H. Lindqvist", "H. Lindqvist")),
    ("MathVista", "What is the area of the shaded triangle, if a side of a square is 4?",
     ("4", "8", "12", "16"), 1, ("8",)),
    ("MathVista", f"数が最も大きいのはどれですか {HOSTILE} שלום e\u0301\u200b[bold]x[/]",
     ("一", "二\u202e", "三\x1b[31m", "[red]四[/red]"), 3, ("四",)),
    ("VizWiz", "What colour is this shirt?", ("blue", "green", "red", "grey"), 0, ("blue",)),
    ("VizWiz", "Is the stove on? " * 40, ("yes", "no", "it can't be seen", "both"), 2, ("no",)),
)  # fmt: skip
COPIES = 12


def png(width: int, height: int, seed: int) -> bytes:
    """Return a small picture: stripes whose colours depend on ``seed``."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(
        b"\0" + bytes(((x // 8 + y // 8) * seed * k) % 256 for x in range(width) for k in (3, 5, 7))
        for y in range(height)
    )
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


class ItemRecorder:
    """Writes the run; ``gpus`` workers answer in turn."""

    def __init__(self, path: Path, *, gpus: int = 8, copies: int = COPIES) -> None:
        self.clock = Clock()
        self.random = random.Random(11)
        pictures = path.with_name("pictures")
        pictures.mkdir(exist_ok=True)
        with clock_of_writer(self.clock):
            self.writer = Writer(path)
            rows = [
                self._item(pictures, n, copy)
                for n in range(len(QUESTIONS))
                for copy in range(copies)
            ]
            names = dict.fromkeys(row.dataset for row in rows)
            datasets = [
                DatasetRow(name, "exact_match", sum(1 for r in rows if r.dataset == name))
                for name in names
            ]
            ids = self.writer.add_suite("suite", datasets, rows)
            self.items = [(row, ids[row.dataset, row.key]) for row in rows]
            self.run_id = self.writer.open_run(
                name="llava-sft-7", checkpoint_dir="/runs/llava-sft-7", suite_digest="suite",
                gold_digest=None, config_json="{}", versions_json="{}", host="node-7",
            )  # fmt: skip
            self.workers = [
                self.writer.add_worker(self.run_id, "node-7", f"cuda:{n}") for n in range(gpus)
            ]
            for n, worker in enumerate(self.workers):
                self.writer.set_worker(worker, "ready", pid=4100 + n, gpu_uuid=uuid_of(n))
        self.batches = 0

    def _item(self, pictures: Path, number: int, copy: int) -> ItemRow:
        dataset, question, options, gold, answers = QUESTIONS[number]
        picture = pictures / f"{number}.png"
        if not picture.exists() and number != 7:
            picture.write_bytes(png(320, 200, number + 2))
        return ItemRow(
            dataset=dataset,
            key=f"{number}-{copy:02d}",
            question=question,
            options_json=json.dumps(options, ensure_ascii=False),
            gold_index=gold,
            answers_json=json.dumps(answers, ensure_ascii=False),
            image=str(picture),
            image_digest=f"digest-{number}",
        )

    def evaluate(self, step: int, *, together: bool, share: float = 1.0) -> None:
        """Score a checkpoint in both modes; with less than all items it goes on running."""
        self.clock.now += 20.0
        with clock_of_writer(self.clock):
            checkpoint = self.writer.add_checkpoint(
                self.run_id, step, f"/runs/llava-sft-7/checkpoint-{step}", self.clock.now
            )
            self.writer.set_checkpoint(checkpoint, "scoring", ready_at=self.clock.now)
            keys = {}
            for mode in ("closed", "open"):
                keys[mode] = self.writer.add_evaluation(checkpoint, mode, "queue", len(self.items))  # type: ignore[arg-type]
        free = dict.fromkeys(self.workers, self.clock.now)
        groups = [("closed", "open")] if together else [("closed",), ("open",)]
        for modes in groups:
            with clock_of_writer(self.clock):
                for mode in modes:
                    self.writer.start_evaluation(keys[mode])
            for n, worker in enumerate(self.workers):
                if modes[0] == "closed":
                    self._span(worker, keys["closed"], "load", free, 0.5 + 0.04 * n)
            wanted = self.items[: round(share * len(self.items))]
            size = max(2, len(wanted) // (len(self.workers) * 4))
            for first in range(0, len(wanted), size):
                worker = min(free, key=lambda w: free[w])
                self._batch(step, modes, keys, wanted[first : first + size], worker, free)
            self.clock.now = max(free.values())
            if share >= 1.0:
                with clock_of_writer(self.clock):
                    for mode in modes:
                        self.writer.finish_evaluation(keys[mode], "done")
                free = dict.fromkeys(self.workers, self.clock.now + 0.1)
        with clock_of_writer(self.clock):
            for key in keys.values():
                self.writer.refresh_scores(key)
            if share >= 1.0:
                self.writer.set_checkpoint(checkpoint, "done", done_at=self.clock.now)

    def _span(
        self, worker: int, evaluation: int, kind: str, free: dict[int, float], seconds: float
    ) -> None:
        start = free[worker]
        free[worker] = start + seconds
        span = SpanRow(worker, evaluation, self.batches, kind, start, start + seconds)  # type: ignore[arg-type]
        with clock_of_writer(self.clock):
            self.writer.add_results([], [span])

    def _batch(
        self,
        step: int,
        modes: tuple[str, ...],
        keys: dict[str, int],
        items: list[tuple[ItemRow, int]],
        worker: int,
        free: dict[int, float],
    ) -> None:
        self.batches += 1
        slow = 3.0 if worker == self.workers[min(5, len(self.workers) - 1)] else 1.0
        rows: list[PredictionRow] = []
        for mode in modes:
            for item, item_id in items:
                make = self._closed if mode == "closed" else self._open
                rows.append(make(keys[mode], step, item, item_id, worker))
        first = modes[0]
        self._span(worker, keys[first], "input", free, 0.03)
        for mode in modes:
            self._span(worker, keys[mode], "prefill", free, 0.05 * len(items))
        if "open" in modes:
            self._span(worker, keys["open"], "decode", free, slow * 0.12 * len(items))
        with clock_of_writer(self.clock):
            self.writer.add_results(rows, [])

    def _closed(
        self, key: int, step: int, item: ItemRow, item_id: int, worker: int
    ) -> PredictionRow:
        base = {
            "evaluation_id": key, "item_id": item_id, "permutation": 0, "worker_id": worker,
            "batch_id": self.batches, "attempt": 1,
        }  # fmt: skip
        if item.key == "2-03" and step == 400:
            why = "CUDA out of memory: batch halved twice, one item is left"
            return PredictionRow(status="failed", reason=why, **base)  # type: ignore[arg-type]
        gold = item.gold_index or 0
        skill = step / max(STEPS)
        logits = [self.random.gauss(0.0, 0.8) for _ in LETTERS]
        logits[gold] += 2.4 * skill - 0.6
        mass = min(0.995, 0.35 + 0.65 * skill**0.5) * (0.4 if item.key.endswith("7") else 1.0)
        whole = math.log(math.fsum(map(math.exp, logits)))
        logprobs = [math.log(mass) + value - whole for value in logits]
        best = logprobs.index(max(logprobs))
        return PredictionRow(
            status="ok", answer=LETTERS[best], correct=int(best == gold),
            gold_logprob=logprobs[gold], gold_prob=math.exp(logprobs[gold]) / mass,
            option_mass=mass, option_logprobs_json=json.dumps(logprobs), prompt_tokens=310,
            output_tokens=1, prefill_s=0.05, **base,  # type: ignore[arg-type]
        )  # fmt: skip

    def _open(self, key: int, step: int, item: ItemRow, item_id: int, worker: int) -> PredictionRow:
        base = {
            "evaluation_id": key, "item_id": item_id, "permutation": 0, "worker_id": worker,
            "batch_id": self.batches, "attempt": 1,
        }  # fmt: skip
        if item.key == "0-05":
            return PredictionRow(
                status="failed",
                reason=f"image can't be read {HOSTILE}",
                **base,  # type: ignore[arg-type]
            )
        options = json.loads(item.options_json)
        answers = json.loads(item.answers_json)
        right = self.random.random() < 0.2 + 0.6 * step / max(STEPS)
        text = answers[0] if right else f"I think it is {self.random.choice(options)}"
        finish = "stop"
        if item.key == "0-01":
            text, right, finish = LONG, False, "length"
        elif item.key == "5-00":
            text, right = f"{HOSTILE} שלום z\u0301z\u0301\u200b\u2066x", False
        elif item.key == "4-00":
            text, right = "", False
        return PredictionRow(
            status="ok", answer=text, score=float(right), prompt_tokens=310,
            output_tokens=max(1, len(text) // 4), finish_reason=finish, prefill_s=0.05,
            decode_s=0.12, **base,  # type: ignore[arg-type]
        )  # fmt: skip

    def sample(self, seconds: int = 60) -> None:
        """Write a reading a second of every GPU; each of them misses something else."""
        rows = [
            _reading(self.clock.now - back + 0.5, back, n)
            for back in range(seconds, 0, -1)
            for n in range(len(self.workers))
        ]
        with clock_of_writer(self.clock):
            self.writer.add_samples([row for row in rows if row is not None])

    def beat(self) -> None:
        with clock_of_writer(self.clock):
            self.writer.beat(
                run_id=self.run_id, pid=4099, host="node-7", state="scoring", version="0.1.0"
            )


def uuid_of(n: int) -> str:
    return f"GPU-{n:02d}a2b3c4-0000-4000-8000-{n:012d}"


def _reading(at: float, back: int, n: int) -> SampleRow | None:
    """GPU 2 is lost, 3 has no power sensor, 4's temperature fails now and then, 6 fell silent."""
    busy = 55.0 + 40.0 * math.sin(back / 7.0 + n) if n % 3 == 1 else 97.0 - n - back % 4
    values: dict[str, object] = {
        "utilisation": round(max(0.0, min(100.0, busy)), 1), "memory_used": (61 + n) * 10**9,
        "memory_total": 80 * 10**9, "power_w": 388.0 - n, "temperature_c": 61.0 + n,
        "sm_clock_mhz": 1410.0,
        "throttle": "power" if n == 1 else "", "status": "ok", "reason": None,
    }  # fmt: skip
    if n == 2 and back <= 25:
        values = dict.fromkeys(values) | {"status": "lost", "reason": "GPU is lost"}
    elif n == 3:
        values |= {"power_w": None, "reason": "power: Not Supported"}
    elif n == 4 and back % 3 == 1:
        values |= {"temperature_c": None, "reason": "temperature: Unknown Error"}
    elif n == 6 and back <= 42:
        return None
    return SampleRow(at=at, gpu_uuid=uuid_of(n), host="node-7", **values)  # type: ignore[arg-type]


def record_items(path: Path, *, gpus: int = 8) -> float:
    """Write the whole recording; return the instant at which it ends."""
    recorder = ItemRecorder(path, gpus=gpus)
    for number, step in enumerate(STEPS):
        running = step == STEPS[-1]
        recorder.evaluate(step, together=number >= FIRST_APART, share=0.7 if running else 1.0)
    recorder.sample()
    recorder.beat()
    recorder.writer.close()
    return recorder.clock.now


__all__ = ["START", "STEPS", "ItemRecorder", "record_items"]
