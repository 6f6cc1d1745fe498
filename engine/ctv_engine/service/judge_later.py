"""Judging what waits in a database that no engine has."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ctv_engine.llm.asking import Asker
from ctv_engine.service.judge import capabilities_of, judged, judged_by, mixed
from ctv_engine.service.tracking import track
from ctv_engine.store.judged import Judged, keep_judgements, score_capabilities, unscored
from ctv_engine.store.writer import Writer
from ctv_engine.suite import Suite

WRITE_EVERY_S = 2.0
NOT_ASKED = "not asked: the budget is spent"


@dataclass(frozen=True, slots=True)
class Sentence:
    """What became of the answers: how many have a score now, and why the others have none."""

    scored: int
    reasons: Counter[str]
    warnings: tuple[str, ...]


def judge_all(
    writer: Writer,
    asker: Asker,
    suites: Iterable[Suite],
    *,
    at_once: int = 8,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> Sentence:
    """Judge whatever waits in a database; scores, capabilities and correlations follow.

    ``tell`` gets how many are done, and of how many. Once the budget is spent nothing more is
    asked; what is left keeps its reason.
    """
    waiting = unscored(writer)
    outcomes: list[Judged] = []
    reasons: Counter[str] = Counter()
    changed: set[int] = set()
    scored = 0

    def write() -> None:
        changed.update(keep_judgements(writer, outcomes))
        outcomes.clear()

    async def work() -> None:
        nonlocal scored
        rest, spent, done = iter(waiting), False, 0
        running: set[asyncio.Task[tuple[Judged, bool]]] = set()
        written_at = time.monotonic()
        while True:
            while not spent and len(running) < at_once and (answer := next(rest, None)) is not None:
                running.add(asyncio.create_task(judged(asker, answer)))
            if not running:
                break
            ended, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                outcome, no_more = task.result()
                spent = spent or no_more
                outcomes.append(outcome)
                scored += outcome.score is not None
                if outcome.score is None:
                    reasons[outcome.reason or ""] += 1
            done += len(ended)
            tell(done, len(waiting))
            if time.monotonic() - written_at > WRITE_EVERY_S:
                write()
                written_at = time.monotonic()
        if done < len(waiting):
            reasons[NOT_ASKED] += len(waiting) - done

    try:
        asyncio.run(work())
    finally:
        write()
        warnings = _follow_up(writer, asker.model, changed, suites)
    return Sentence(scored, reasons, warnings)


def _follow_up(
    writer: Writer, model: str, changed: set[int], suites: Iterable[Suite]
) -> tuple[str, ...]:
    """Write what depends on new scores; return what to warn of."""
    capabilities = capabilities_of(suites)
    for evaluation_id in changed:
        score_capabilities(writer, evaluation_id, capabilities)
    warnings: list[str] = []
    for run_id, config, versions in writer.query(
        "SELECT r.id, r.config_json, r.versions_json FROM runs r WHERE r.id IN (SELECT c.run_id"
        " FROM evaluations e JOIN checkpoints c ON c.id = e.checkpoint_id"
        " WHERE e.id IN (SELECT value FROM json_each(?)))",
        json.dumps(sorted(changed)),
    ):
        judges = judged_by(model, versions)
        warning = mixed(judges)
        if warning:
            warnings.append(warning)
        with writer.transaction() as connection:
            connection.execute(
                "UPDATE runs SET versions_json = ? WHERE id = ?",
                (json.dumps(json.loads(versions) | judges, sort_keys=True), run_id),
            )
        track(writer, run_id, json.loads(config).get("window", 8))
    return tuple(warnings)
