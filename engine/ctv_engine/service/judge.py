"""The judge beside the engine: a thread that asks, while the coordinator alone writes.

Also the same for a database that no engine has, see :func:`judge_all`.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ctv_engine.llm.asking import Asker, AskError, Prompt
from ctv_engine.llm.budget import Budget
from ctv_engine.llm.client import Client
from ctv_engine.llm.providers import load_providers
from ctv_engine.llm.stored import Replies
from ctv_engine.settings import Settings
from ctv_engine.store.judged import (
    Judged,
    ToJudge,
    keep_judgements,
    score_capabilities,
    unscored,
)
from ctv_engine.store.writer import Writer
from ctv_engine.suite import Suite

AT_ONCE = 8
LONGEST_REASON = 300


def open_judge(path: Path, calls: int | None, replies: Path) -> Client:
    """Return the judge that a file of providers names: the one called ``judge``, else the first.

    Raises:
        ProviderError: the file, the provider or its key can't be used.
    """
    providers = load_providers(path)
    chosen = providers.get("judge") or next(iter(providers.values()))
    return Client(chosen, Replies(replies), Budget(calls))


def start_judge(settings: Settings) -> Judge | None:
    """Start the judge that a run's settings name.

    Raises:
        ProviderError: it can't be used as it is described.
    """
    if settings.judge is None:
        return None
    path = Path(settings.judge)
    return Judge(lambda: open_judge(path, settings.judge_calls, settings.replies))


class Judge:
    """Asks about answers one after the other, some at once, in a thread of its own."""

    def __init__(self, make_asker: Callable[[], Asker]) -> None:
        """Start the thread, which makes the asker itself: SQLite wants its own thread.

        Raises:
            ProviderError: the asker can't be made.
        """
        self._coming: queue.SimpleQueue[ToJudge | None] = queue.SimpleQueue()
        self._judged: queue.SimpleQueue[Judged] = queue.SimpleQueue()
        self._waiting = 0
        self._made: queue.SimpleQueue[Asker | Exception] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._run, args=(make_asker,), name="judge", daemon=True
        )
        self._thread.start()
        made = self._made.get()
        if isinstance(made, Exception):
            raise made
        self.model = made.model

    @property
    def waiting(self) -> int:
        """How many answers have no outcome yet."""
        return self._waiting

    def ask(self, answers: Iterable[ToJudge]) -> None:
        """Hand answers over."""
        for answer in answers:
            self._waiting += 1
            self._coming.put(answer)

    def take(self) -> list[Judged]:
        """Return the outcomes since the last call."""
        taken = []
        while not self._judged.empty():
            taken.append(self._judged.get())
        self._waiting -= len(taken)
        return taken

    def close(self) -> None:
        """Ask nothing more; what is under way may be lost, and is asked at the next start."""
        self._coming.put(None)

    def _run(self, make_asker: Callable[[], Asker]) -> None:
        try:
            asker = make_asker()
        except Exception as error:
            self._made.put(error)
            return
        self._made.put(asker)
        asyncio.run(self._work(asker))

    async def _work(self, asker: Asker) -> None:
        loop = asyncio.get_running_loop()
        running: set[asyncio.Task[None]] = set()
        while True:
            answer = await loop.run_in_executor(None, self._coming.get)
            if answer is None:
                for task in running:
                    task.cancel()
                return
            if len(running) >= AT_ONCE:
                _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            running.add(loop.create_task(self._one(asker, answer)))

    async def _one(self, asker: Asker, answer: ToJudge) -> None:
        self._judged.put(await judged(asker, answer))


async def judged(asker: Asker, answer: ToJudge) -> Judged:
    """Ask about one answer. An empty one is worth nothing and needs no judge."""
    from ctv_engine.scoring.judge import PURPOSE, SYSTEM, Judgement, judge_text  # wants pydantic

    if not answer.answer.strip():
        return Judged(answer, 0.0, None)
    text = judge_text(answer.question, answer.references, answer.answer)
    try:
        found = await asker.ask(Prompt(PURPOSE, SYSTEM, text), Judgement)
    except AskError as error:
        return Judged(answer, None, f"not judged: {error}"[:LONGEST_REASON])
    except Exception as error:
        return Judged(answer, None, f"not judged: {type(error).__name__}"[:LONGEST_REASON])
    return Judged(answer, found.score, None)


def judge_all(
    writer: Writer,
    asker: Asker,
    suites: Iterable[Suite],
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[int, dict[str, int]]:
    """Judge whatever waits in a database; return how many have a score now, and why others not."""
    waiting = unscored(writer)
    reasons: dict[str, int] = {}
    done = scored = 0
    changed: set[int] = set()

    async def work() -> None:
        nonlocal done, scored
        spent = False
        for start in range(0, len(waiting), AT_ONCE):
            part = waiting[start : start + AT_ONCE]
            outcomes = await asyncio.gather(*(judged(asker, answer) for answer in part))
            changed.update(keep_judgements(writer, outcomes))
            for one in outcomes:
                done += 1
                if one.score is None:
                    reason = one.reason or ""
                    reasons[reason] = reasons.get(reason, 0) + 1
                    spent = spent or "budget" in reason
                else:
                    scored += 1
            tell(done, len(waiting))
            if spent:
                left = len(waiting) - done
                if left:
                    reasons["not asked: the budget is spent"] = left
                return

    asyncio.run(work())
    known = capabilities_of(suites)
    for evaluation_id in changed:
        score_capabilities(writer, evaluation_id, known)
    return scored, reasons


def capabilities_of(suites: Iterable[Suite]) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """Return what each judged item takes, by (dataset, key)."""
    return {
        (item.dataset, item.key): item.meta.capabilities
        for suite in suites
        for item in suite.items
        if item.meta.capabilities
    }
