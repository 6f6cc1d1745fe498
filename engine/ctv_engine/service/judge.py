"""The judge beside the engine: a thread that asks, while the coordinator alone writes.

For a database that no engine has, see :mod:`ctv_engine.service.judge_later`.
"""

from __future__ import annotations

import asyncio
import json
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ctv_engine.llm.asking import Asker, AskError, BudgetSpent, Prompt
from ctv_engine.llm.budget import Budget
from ctv_engine.llm.client import Client
from ctv_engine.llm.providers import Provider, ProviderError, load_providers
from ctv_engine.llm.stored import Replies
from ctv_engine.settings import Settings
from ctv_engine.store.judged import Judged, ToJudge
from ctv_engine.suite import Suite

LONGEST_REASON = 300


def choose_judge(path: Path) -> Provider:
    """Return the provider of a file that is called ``judge``, else the first.

    Raises:
        ProviderError: the file can't be used.
    """
    providers = load_providers(path)
    return providers.get("judge") or next(iter(providers.values()))


def open_judge(provider: Provider, calls: int | None, replies: Path) -> Client:
    """Return a judge that keeps its replies in ``replies`` and is asked ``calls`` times at most.

    Raises:
        ProviderError: its key is missing, or the file of replies can't be used.
    """
    provider.key()
    try:
        kept = Replies(replies)
    except (OSError, sqlite3.Error) as error:
        raise ProviderError(f"{replies}: the judge's replies can't be kept there: {error}") from (
            error
        )
    return Client(provider, kept, Budget(calls))


def start_judge(settings: Settings) -> Judge | None:
    """Start the judge that a run's settings name.

    Raises:
        ProviderError: it can't be used as it is described.
    """
    if settings.judge is None:
        return None
    provider = choose_judge(Path(settings.judge))
    return Judge(
        lambda: open_judge(provider, settings.judge_calls, settings.replies),
        provider.max_concurrent,
    )


class Judge:
    """Asks about answers, ``at_once`` of them at a time, in a thread of its own."""

    def __init__(self, make_asker: Callable[[], Asker], at_once: int = 8) -> None:
        """Start the thread, which makes the asker itself: SQLite wants its own thread.

        Raises:
            ProviderError: the asker can't be made.
        """
        self._at_once = at_once
        self._judged: queue.SimpleQueue[Judged] = queue.SimpleQueue()
        self._waiting = 0
        self._loop = asyncio.new_event_loop()
        self._coming: asyncio.Queue[ToJudge | None] = asyncio.Queue()
        made: queue.SimpleQueue[Asker | Exception] = queue.SimpleQueue()
        # No executor anywhere: its threads would be waited for when the process ends.
        threading.Thread(
            target=self._run, args=(make_asker, made), name="judge", daemon=True
        ).start()
        asker = made.get()
        if isinstance(asker, Exception):
            raise asker
        self.model = asker.model

    @property
    def waiting(self) -> int:
        """How many answers have no outcome yet."""
        return self._waiting

    def ask(self, answers: Iterable[ToJudge]) -> None:
        """Hand answers over."""
        for answer in answers:
            self._waiting += 1
            self._loop.call_soon_threadsafe(self._coming.put_nowait, answer)

    def take(self) -> list[Judged]:
        """Return the outcomes since the last call."""
        taken = []
        while not self._judged.empty():
            taken.append(self._judged.get())
        self._waiting -= len(taken)
        return taken

    def close(self) -> None:
        """Ask nothing more; what is under way may be lost, and is asked at the next start."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._coming.put_nowait, None)

    def _run(
        self, make_asker: Callable[[], Asker], made: queue.SimpleQueue[Asker | Exception]
    ) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                asker = make_asker()
            except Exception as error:
                made.put(error)
                return
            made.put(asker)
            runner.run(self._work(asker))

    async def _work(self, asker: Asker) -> None:
        running: set[asyncio.Task[None]] = set()
        while (answer := await self._coming.get()) is not None:
            if len(running) >= self._at_once:
                _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            running.add(asyncio.create_task(self._one(asker, answer)))

    async def _one(self, asker: Asker, answer: ToJudge) -> None:
        outcome, _ = await judged(asker, answer)
        self._judged.put(outcome)


async def judged(asker: Asker, answer: ToJudge) -> tuple[Judged, bool]:
    """Ask about one answer; return the outcome, and whether the budget is spent.

    An empty answer is worth nothing and needs no judge.
    """
    from ctv_engine.scoring.judge import PURPOSE, SYSTEM, Judgement, judge_text  # wants pydantic

    if not answer.answer.strip():
        return Judged(answer, 0.0, None), False
    text = judge_text(answer.question, answer.references, answer.answer)
    try:
        found = await asker.ask(Prompt(PURPOSE, SYSTEM, text), Judgement)
    except Exception as error:
        why = str(error) if isinstance(error, AskError) else type(error).__name__
        reason = f"not judged: {why}"[:LONGEST_REASON]
        return Judged(answer, None, reason), isinstance(error, BudgetSpent)
    return Judged(answer, found.score, None), False


def capabilities_of(suites: Iterable[Suite]) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """Return what each judged item takes, by (dataset, key)."""
    return {
        (item.dataset, item.key): item.meta.capabilities
        for suite in suites
        for item in suite.items
        if item.meta.capabilities
    }


def judged_by(model: str | None, versions_json: str | None) -> dict[str, str]:
    """Return what is stored with a run about its judges, given what was stored before.

    A judge stays on record while none is named; another one is put before it, not in its place.
    """
    earlier = json.loads(versions_json or "{}")
    names = ("judge", "judge_prompt", "judges_before")
    known: dict[str, str] = {name: earlier[name] for name in names if name in earlier}
    if model is None:
        return known
    from ctv_engine.scoring.judge import prompt_hash  # wants pydantic

    now = {"judge": model, "judge_prompt": prompt_hash()}
    if "judge" in known and now != {name: known.get(name) for name in now}:
        last = f"{known['judge']} (prompt {known.get('judge_prompt', 'unknown')})"
        before = [
            one for one in known.get("judges_before", "").split("; ") if one not in ("", last)
        ]
        now["judges_before"] = "; ".join([*before, last])
    elif "judges_before" in known:
        now["judges_before"] = known["judges_before"]
    return now


def mixed(judges: Mapping[str, str]) -> str | None:
    """Return a warning where answers of one run were scored by several judges."""
    if "judges_before" not in judges:
        return None
    return (
        f"answers of this run were scored by {judges['judges_before']} before {judges['judge']}"
        f" (prompt {judges['judge_prompt']}): their scores do not compare"
    )
