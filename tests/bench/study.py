"""Which proxy tracks gold, and at what cost? The paper's study on the demo's model: ``make study``.

Trains the demo's model once per seed with a fixed number of steps, scores every checkpoint closed,
open and gold, and prints what came out. A seed that is finished is not done again. One process
trains while another scores, so two cores are kept busy.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ctv_engine.demo import seed_directory
from ctv_engine.demo.data import prepare
from ctv_engine.stats.agreement import Agreement, decision_accuracy
from ctv_engine.stats.trajectory import monotonicity, signal_to_noise_of_run, step_noise

Proxy = Literal["closed", "open"]
PROXIES: tuple[Proxy, ...] = ("closed", "open")
METHODS = ("pearson", "spearman", "difference", "partial")


@dataclass(frozen=True, slots=True)
class Tracked:
    """A proxy's whole-run coefficient with gold over the macro mean, its interval and points."""

    r: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Found:
    """What one seed's run says of one proxy. ``busy_s`` is device time per checkpoint."""

    seed: int
    proxy: Proxy
    scores: tuple[float, ...]
    gold: tuple[float, ...]
    tracked: dict[str, Tracked]
    by_dataset: dict[str, float]
    busy_s: float
    tokens: float

    @property
    def decisions(self) -> Agreement:
        """Pairs of checkpoints that the proxy orders as gold does."""
        return decision_accuracy(self.scores, self.gold)


def train(work: Path, seed: int, steps: int, checkpoints: int) -> Path:
    """Return the directory of a seed's checkpoints, trained here if they are not there yet."""
    place = work / f"seed-{seed}"
    run, done = place / "run", place / "trained"
    if done.is_file():
        return place
    if run.exists():
        raise SystemExit(f"{run} was left unfinished; remove it and call again")
    run.mkdir(parents=True)
    command = [sys.executable, "-m", "ctv_engine.demo.train"]
    command += ["--data", str(work / "data" / "train"), "--seed-model", str(seed_directory())]
    command += ["--out", str(run), "--seed", str(seed), "--save-total-limit", "0"]
    command += ["--steps", str(steps), "--checkpoints", str(checkpoints)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    done.write_text(f"{steps} steps\n", encoding="utf-8")
    return place


def score(work: Path, place: Path) -> Path:
    """Return a seed's database, with every checkpoint scored in every mode."""
    db = place / "run.db"
    found = sorted(place.glob("run/checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    command = [sys.executable, "-m", "ctv_tui", "eval", *map(str, found)]
    command += ["--suite", str(work / "data" / "suite"), "--gold", str(work / "data" / "gold")]
    command += ["--db", str(db), "--devices", "cpu", "--no-pairing", "--name", place.name]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return db


def read(db: Path, seed: int) -> list[Found]:
    """Read what a finished run found of both proxies."""
    with closing(sqlite3.connect(f"{db.resolve().as_uri()}?mode=ro", uri=True)) as connection:

        def macro(mode: str) -> tuple[float, ...]:
            metric = "accuracy" if mode == "closed" else "score"
            rows = connection.execute(
                "SELECT value FROM trajectory WHERE mode = ? AND dataset = 'macro' AND metric = ?"
                " AND state = 'done' ORDER BY step",
                (mode, metric),
            )
            return tuple(value for (value,) in rows)

        found = []
        for proxy in PROXIES:
            rows = connection.execute(
                "SELECT scope, method, r, low, high, n FROM correlation_now"
                " WHERE proxy = ? AND window = 0",
                (proxy,),
            ).fetchall()
            tracked = {m: Tracked(*rest) for scope, m, *rest in rows if scope == "macro"}
            by_dataset = {
                scope.removeprefix("dataset:"): r
                for scope, method, r, *_ in rows
                if scope.startswith("dataset:") and method == "pearson" and r is not None
            }
            busy_s, tokens = connection.execute(
                "SELECT sum(p.prefill_s + coalesce(p.decode_s, 0)) / count(DISTINCT e.id),"
                " sum(p.prompt_tokens + coalesce(p.output_tokens, 0)) * 1.0 / count(DISTINCT e.id)"
                " FROM predictions p JOIN evaluations e ON e.id = p.evaluation_id"
                " WHERE e.mode = ?",
                (proxy,),
            ).fetchone()
            series = macro(proxy), macro("gold")
            found.append(Found(seed, proxy, *series, tracked, by_dataset, busy_s, tokens))
        return found


def _or_dash(value: float | None, form: str = ".2f") -> str:
    return "–" if value is None else format(value, form)


def _noted(measure: Callable[[], float]) -> float | None:
    try:
        return measure()
    except ValueError:
        return None


def _row(one: Found) -> list[str]:
    whole = one.tracked["pearson"]
    steps = range(len(one.scores))
    decided = one.decisions
    return [
        str(one.seed),
        one.proxy,
        f"{one.scores[0]:.3f} → {one.scores[-1]:.3f}",
        f"{_or_dash(whole.r)} [{_or_dash(whole.low)}, {_or_dash(whole.high)}]",
        *(_or_dash(one.tracked[method].r) for method in METHODS[1:]),
        f"{decided.agreeing}/{decided.pairs}",
        _or_dash(_noted(lambda: step_noise(one.scores)), ".3f"),
        _or_dash(_noted(lambda: signal_to_noise_of_run(one.scores)), ".1f"),
        _or_dash(_noted(lambda: monotonicity(list(steps), one.scores))),
        f"{one.busy_s:.2f}",
        f"{one.tokens:,.0f}",
    ]


HEAD = (
    "seed", "proxy", "macro mean", "r with gold [95 %]", "Spearman", "r of changes", "r given step",
    "decisions", "step noise", "signal/noise", "monotony", "device s", "tokens",
)  # fmt: skip


def summary(found: Sequence[Found]) -> Iterator[str]:
    """Yield the sentences below the table: means and deviations over the seeds."""
    for proxy in PROXIES:
        own = [one for one in found if one.proxy == proxy]
        for method in METHODS:
            values = [r for one in own if (r := one.tracked[method].r) is not None]
            if len(values) > 1:
                mean, deviation = statistics.fmean(values), statistics.stdev(values)
                yield (
                    f"{proxy}: {method} with gold {mean:.3f} ± {deviation:.3f}"
                    f" (standard deviation over {len(values)} seeds; {min(values):.2f} to"
                    f" {max(values):.2f})"
                )
        pairs = sum(one.decisions.pairs for one in own)
        agreeing = sum(one.decisions.agreeing for one in own)
        yield f"{proxy}: orders {agreeing} of {pairs} pairs of checkpoints as gold does"
        names = sorted({name for one in own for name in one.by_dataset})
        means = []
        for name in names:
            values = [one.by_dataset[name] for one in own if name in one.by_dataset]
            means.append(f"{name} {statistics.fmean(values):.2f}")
        yield f"{proxy}: mean r per dataset with its own gold: {', '.join(means)}"
    by_seed = {(one.seed, one.proxy): one for one in found}
    ahead = [
        seed
        for seed in {one.seed for one in found}
        if (by_seed[seed, "closed"].tracked["pearson"].r or -1.0)
        > (by_seed[seed, "open"].tracked["pearson"].r or -1.0)
    ]
    seeds = len(by_seed) // 2
    yield f"closed tracks gold better than open (Pearson) in {len(ahead)} of {seeds} seeds"
    ratio = statistics.fmean(
        by_seed[seed, "open"].busy_s / by_seed[seed, "closed"].busy_s for seed, _ in by_seed
    )
    yield f"device seconds, open ÷ closed: {ratio:.2f}"


def table(found: Sequence[Found]) -> str:
    """Return the table of all seeds in Markdown."""
    rows = [HEAD, *map(_row, found)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(HEAD))
    return "\n".join(lines)


def main() -> int:
    """Train, score, print; repeat the call to go on after an interruption."""
    parser = argparse.ArgumentParser(prog="study", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where everything is kept")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--checkpoints", type=int, default=15)
    parser.add_argument("--steps", type=int, default=600, help="of each run")
    options = parser.parse_args()
    if min(options.seeds, options.checkpoints, options.steps) < 1:
        parser.error("--seeds, --checkpoints and --steps must be positive")
    work: Path = options.work.resolve()
    if not (work / "data" / "gold" / "suite.toml").is_file():
        prepare(work / "data")
    found: list[Found] = []
    with ThreadPoolExecutor(max_workers=1) as ahead:
        runs = [
            ahead.submit(train, work, seed, options.steps, options.checkpoints)
            for seed in range(options.seeds)
        ]
        for seed, run in enumerate(runs):
            found += read(score(work, run.result()), seed)
            print(f"seed {seed} done", file=sys.stderr, flush=True)
    print(table(found))
    print()
    for sentence in summary(found):
        print(f"- {sentence}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
