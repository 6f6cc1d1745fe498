"""What is asked in each mode, and the frozen plans once the prompts' lengths are known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ctv_engine.runtime.messages import Batch, Lengths, Task
from ctv_engine.runtime.plan import plan
from ctv_engine.service.debiasing import rotated_items
from ctv_engine.service.translate import ItemIds, dataset_rows, item_rows
from ctv_engine.settings import Settings
from ctv_engine.store.rows import LengthRow, Mode
from ctv_engine.store.writer import Writer
from ctv_engine.suite import Suite

MEASURE_ITEMS = 32
UNKNOWN_TOKENS = 1
"""Length of a prompt whose picture can't be decoded; its row will say so."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One mode of the run: the task it is, the suite it asks and the ids of its items."""

    task: Task
    suite: Suite
    item_ids: ItemIds

    @property
    def planned(self) -> int:
        """How many answers the mode needs."""
        return sum(self.task == "open" or i.gold_index is not None for i in self.suite.items)


class Plans:
    """Batches by mode and processor, made once and the same ever after."""

    def __init__(self, writer: Writer, settings: Settings) -> None:
        """Make plans for suites that are registered later; lengths are kept in the database."""
        self.asked: dict[Mode, Asked] = {}
        self._writer = writer
        self._settings = settings
        self._lengths: dict[tuple[str, str], dict[tuple[Task, tuple[str, str]], int]] = {}
        self._batches: dict[tuple[str, str, Task], tuple[Batch, ...]] = {}

    def register(self, suite: Suite, modes: dict[Mode, Task]) -> None:
        """Add a suite's modes; a mode that asks nothing is left out."""
        ids = self._writer.add_suite(suite.digest, dataset_rows(suite), item_rows(suite))
        for mode, task in modes.items():
            asked = Asked(task, suite, ids)
            if asked.planned:
                self.asked[mode] = asked

    def batches(self, suite: Suite, task: Task, processor: str) -> tuple[Batch, ...]:
        """Return the frozen batches of one task.

        Raises:
            KeyError: the suite was not measured with this processor.
        """
        key = (suite.digest, processor, task)
        if key not in self._batches:
            known = self._known(suite, processor)
            forms: tuple[Task, ...] = ("closed", "open") if task == "pair" else (task,)
            batches = plan(
                suite,
                task,
                {
                    (item.dataset, item.key): max(
                        known.get((form, (item.dataset, item.key)), UNKNOWN_TOKENS)
                        for form in forms
                    )
                    for item in suite.items
                },
                token_budget=self._settings.batch_tokens,
                max_rows=self._settings.batch_size,
                by_dataset=self._settings.schedule == "static",
            )
            self._batches[key] = batches if task == "open" else self._further(suite, batches)
        return self._batches[key]

    def _further(self, suite: Suite, batches: Sequence[Batch]) -> tuple[Batch, ...]:
        """Note in batches with closed forms what these are asked further."""
        rotated = rotated_items(suite.items, self._settings.debias)
        return tuple(
            replace(
                batch,
                rotated=tuple((item.dataset, item.key) in rotated for item in batch.items),
                cloze=self._settings.cloze,
            )
            for batch in batches
        )

    def probe(self, suite: Suite, task: Task, processor: str) -> Batch:
        """Return the shortest, a middling and the longest item: padding can't hide among them.

        Items whose picture is broken prove nothing and are only taken where there are no others.
        """
        batches = self.batches(suite, task, processor)
        rows = sorted(
            (tokens, place, at)
            for place, batch in enumerate(batches)
            for at, tokens in enumerate(batch.tokens)
        )
        rows = [row for row in rows if row[0] != UNKNOWN_TOKENS] or rows
        picked = dict.fromkeys((rows[0], rows[len(rows) // 2], rows[-1]))
        parts = [batches[place].part(slice(at, at + 1)) for _, place, at in picked]
        first, *rest = parts
        return Batch(
            batch_id=first.batch_id,
            items=first.items + tuple(part.items[0] for part in rest),
            datasets=first.datasets + tuple(part.datasets[0] for part in rest),
            suite_directory=first.suite_directory,
            tokens=first.tokens + tuple(part.tokens[0] for part in rest),
        )

    # --- lengths ------------------------------------------------------------------------------

    def unmeasured(self, suite: Suite, processor: str) -> list[Batch]:
        """Return batches of the items whose prompts' lengths are not known yet."""
        known = {name for _, name in self._known(suite, processor)}
        datasets = {dataset.name: dataset for dataset in suite.datasets}
        missing = [item for item in suite.items if (item.dataset, item.key) not in known]
        return [
            Batch(
                batch_id=number,
                items=tuple(part),
                datasets=tuple(datasets[item.dataset] for item in part),
                suite_directory=suite.directory,
            )
            for number, start in enumerate(range(0, len(missing), MEASURE_ITEMS))
            for part in [missing[start : start + MEASURE_ITEMS]]
        ]

    def learn(self, suite: Suite, processor: str, lengths: Iterable[Lengths]) -> None:
        """Keep lengths that a worker has measured."""
        known = self._known(suite, processor)
        ids = next(asked.item_ids for asked in self.asked.values() if asked.suite is suite)
        rows: list[LengthRow] = []
        for found in lengths:
            item_id = ids[found.key]
            rows.append(LengthRow(item_id, processor, "closed", found.closed))
            rows.append(LengthRow(item_id, processor, "open", found.open))
            known["closed", found.key] = found.closed or UNKNOWN_TOKENS
            known["open", found.key] = found.open or UNKNOWN_TOKENS
        self._writer.add_lengths(rows)

    def _known(self, suite: Suite, processor: str) -> dict[tuple[Task, tuple[str, str]], int]:
        key = (suite.digest, processor)
        if key not in self._lengths:
            self._lengths[key] = {
                (task, (dataset, name)): tokens or UNKNOWN_TOKENS
                for task, dataset, name, tokens in self._writer.query(
                    "SELECT l.task, i.dataset, i.key, l.tokens FROM prompt_lengths l"
                    " JOIN items i ON i.id = l.item_id"
                    " WHERE i.suite_digest = ? AND l.processor = ?",
                    suite.digest,
                    processor,
                )
            }
        return self._lengths[key]
