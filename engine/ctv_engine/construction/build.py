"""From benchmarks to a suite, step by step; every step is in the journal before the next begins."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ctv_engine.construction.annotation import verdict
from ctv_engine.construction.converting import Annotator, Converted, Converter, Pool, Rejected
from ctv_engine.construction.distractors import Known, RulesConverter
from ctv_engine.construction.journal import Draft, Journal, JournalError, State
from ctv_engine.construction.plan import RULES, VMCBENCH, Plan, SourcePlan
from ctv_engine.construction.readers import open_source
from ctv_engine.construction.readers.pairing import PairedSource
from ctv_engine.construction.sampling import Sample, draw
from ctv_engine.construction.source import Fault, Source, SourceItem
from ctv_engine.llm.asking import AskError, BudgetSpent, Unreachable, gravest
from ctv_engine.suite import Dataset, DraftItem, Suite, store_image, write_suite
from ctv_engine.suite.provenance import write_provenance

AT_ONCE = 16
ROUNDS = 8
GIVE_UP_AFTER = 8
_OUT = (State.REJECTED, State.DROPPED)

Tell = Callable[[str, int, int], None]
"""(what is being done, how many are done, of how many)."""

Agree = Callable[[int, int], bool]
"""(items to convert, items to annotate): whether to go on."""


@dataclass
class Counts:
    """What became of one dataset's rows."""

    rows: int = 0
    wanted: int | None = None
    faults: Counter[str] = field(default_factory=Counter)
    examples: dict[str, Fault] = field(default_factory=dict)


@dataclass
class Report:
    """What a build came to. ``waiting`` items had no reply yet; the next call goes on with them."""

    suite: Suite | None = None
    counts: dict[str, Counts] = field(default_factory=dict)
    states: dict[tuple[str, State], int] = field(default_factory=dict)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    waiting: int = 0
    stopped: str | None = None

    def of(self, dataset: str, *states: State) -> int:
        """Return how many items of a dataset are in one of these states."""
        return sum(self.states.get((dataset, state), 0) for state in states)


class Build:
    """One build of a suite directory; a second call of the same plan goes on where it ended."""

    def __init__(
        self,
        directory: Path,
        plan: Plan,
        *,
        converter: Callable[[dict[str, tuple[Known, ...]]], Converter] | None = None,
        annotators: Sequence[Annotator] = (),
        tell: Tell = lambda what, done, of: None,
        agree: Agree = lambda convert, annotate: True,
    ) -> None:
        """Open the journal and the sources.

        ``converter`` makes the converter from each dataset's answers; by default it is the rules.
        ``agree`` is asked once, before the first item is converted or annotated.

        Raises:
            JournalError: the directory holds a build of another plan.
            SourceError: a benchmark can't be read.
        """
        self._plan = plan
        self._tell = tell
        self._agree = agree
        self._annotators = tuple(annotators)
        self._make_converter = converter or (lambda known: RulesConverter(known, plan.options))
        self.datasets = {
            s.made_dataset.name: s.made_dataset for s in plan.sources if s.benchmark != VMCBENCH
        }
        self._sources = _open_all(plan)
        self.journal = Journal(directory, create=True)
        self._directory = directory
        try:
            self._same_plan()
        except JournalError:
            self.journal.close()
            raise
        self._unanswered: set[int] = set()
        self.report = Report(counts={name: Counts() for name in self.datasets})

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()

    def _same_plan(self) -> None:
        now, before = self._plan.fingerprint(), self.journal.setting("plan")
        if before is None:
            self.journal.set("plan", now)
            return
        for name, value in before.items():
            if name == "sources":
                added = value | now["sources"]
                changed = [key for key, entry in value.items() if added[key] != entry]
                if changed:
                    raise JournalError(self._other(f"source {changed[0]}"))
            elif now[name] != value:
                raise JournalError(self._other(f"{name} was {value!r}, now it is {now[name]!r}"))
        self.journal.set("plan", now | {"sources": before["sources"] | now["sources"]})

    def _other(self, what: str) -> str:
        return (
            f"{self._directory} holds a build with other settings ({what}); use the same ones,"
            " another --out, or --restart to begin anew"
        )

    # --- all of it ----------------------------------------------------------------------------

    def run(self) -> Report:
        """Carry the build as far as it goes; what stops it is in the report, and nothing is lost.

        Raises:
            SourceError: a benchmark can't be read on.
            SuiteError: what was made is no suite.
        """
        known: dict[str, tuple[Known, ...]] = {}
        short = {}
        for number, (source, wanted) in enumerate(self._sources):
            self._tell("reading", number, len(self._sources))
            for dataset, sample in self._read(source, wanted).items():
                known[dataset] = sample.answers
                short[dataset] = sample
        asyncio.run(self._decide(self._make_converter(known), short))
        return self.finish()

    async def _decide(self, converter: Converter, samples: dict[str, Sample]) -> None:
        """Convert until as many items as wanted are not out, then annotate, in one event loop."""
        for number in range(ROUNDS):
            added = sum(self._take(dataset, sample) for dataset, sample in samples.items())
            if number == 0 and not self._agreed():
                self.report.stopped = "not begun"
                return
            await self._convert(converter)
            if not added or self.report.stopped:
                break
        if not self.report.stopped:
            await self._annotate()

    def _agreed(self) -> bool:
        counts: Counter[State] = Counter()
        for (_, state), n in self.journal.counts().items():
            counts[state] += n
        converting, converted = counts[State.SAMPLED], counts[State.CONVERTED]
        annotating = converting + converted if self._annotators else 0
        return not (converting or annotating) or self._agree(converting, annotating)

    def finish(self) -> Report:
        """Write the suite from what is kept by now, and count."""
        kept = list(self.journal.drafts(State.KEPT))
        if kept:
            self._tell("writing", 0, len(kept))
            self.report.suite = write_kept(
                self._directory, self._plan.name, self.datasets.values(), kept
            )
            self.journal.set("name", self._plan.name)
            self.journal.set("datasets", [_stated(d) for d in self.datasets.values()])
        self.report.states = self.journal.counts()
        for draft in self.journal.drafts(State.REJECTED, State.QUEUED):
            self.report.reasons[draft.dataset, draft.reason or ""] += 1
        self.report.waiting = sum(
            n
            for (_, state), n in self.report.states.items()
            if state in (State.SAMPLED, State.CONVERTED)
        )
        return self.report

    # --- items --------------------------------------------------------------------------------

    def _read(self, source: Source, plan: SourcePlan) -> dict[str, Sample]:
        """Draw from a source; a paired one makes items of several datasets."""
        rows = list(source.items()) if isinstance(source, PairedSource) else None
        names = [plan.made_dataset.name]
        if rows is not None:
            names = sorted({row.dataset for row in rows if isinstance(row, SourceItem)})
        drawn = {}
        for name in names:
            chosen: Iterable[SourceItem | Fault] = (
                source.items()
                if rows is None
                else (row for row in rows if isinstance(row, Fault) or row.dataset == name)
            )
            wanted = plan.n if rows is None else self._wanted(name)
            drawn[name] = sample = draw(chosen, wanted, self._plan.seed)
            counts = self.report.counts[name]
            counts.rows, counts.wanted = sample.rows, wanted
            counts.faults.update(sample.faults)
            counts.examples |= sample.examples
        return drawn

    def _wanted(self, dataset: str) -> int | None:
        return next((s.n for s in self._plan.sources if s.made_dataset.name == dataset), None)

    def _take(self, dataset: str, sample: Sample) -> int:
        """Take up items until as many as wanted are not out; return how many were added."""
        known = {draft.key for draft in self.journal.drafts(dataset=dataset)}
        inside = sum(
            n
            for (name, state), n in self.journal.counts().items()
            if name == dataset and state not in _OUT
        )
        wanted = len(sample.chosen) - inside
        coming = [i for i in (*sample.chosen, *sample.spare) if i.key not in known]
        source = self._source_of(dataset)
        added = 0
        while wanted > 0 and coming:
            batch, coming = coming[:wanted], coming[wanted:]
            kept: list[tuple[SourceItem, str]] = []
            for item, picture in source.pictures(batch):
                self._tell(f"pictures of {dataset}", added + len(kept), added + wanted)
                if isinstance(picture, Fault):
                    counts = self.report.counts[dataset]
                    counts.faults["picture"] += 1
                    counts.examples.setdefault("picture", picture)
                else:
                    kept.append((item, store_image(self._directory, picture)))
            order = {item.key: place for place, item in enumerate(batch)}
            self.journal.add(sorted(kept, key=lambda one: order[one[0].key]))
            added += len(kept)
            wanted -= len(kept)
        return added

    def _source_of(self, dataset: str) -> Source:
        for source, plan in self._sources:
            if isinstance(source, PairedSource) or plan.made_dataset.name == dataset:
                return source
        raise KeyError(dataset)

    # --- conversion and annotation ------------------------------------------------------------

    async def _convert(self, converter: Converter) -> None:
        async def one(draft: Draft) -> None:
            pool = Pool(self.datasets[draft.dataset].open_metric)
            made = await converter.convert(draft, self._picture(draft), pool)
            if isinstance(made, Rejected):
                self.journal.settle(draft.id, State.REJECTED, made.reason)
            else:
                self._keep(draft, made)

        await self._each("converting", list(self.journal.drafts(State.SAMPLED)), one)

    def _keep(self, draft: Draft, made: Converted) -> None:
        self.journal.convert(draft.id, made.options, made.gold_index, made.provenance)
        if not self._annotators:
            self.journal.settle(draft.id, State.KEPT)

    async def _annotate(self) -> None:
        if not self._annotators:
            for draft in self.journal.drafts(State.CONVERTED):
                self.journal.settle(draft.id, State.KEPT)
            return

        async def one(draft: Draft) -> None:
            votes = {vote.annotator: vote for vote in self.journal.votes(draft.id)}
            picture = self._picture(draft)

            async def ask(annotator: Annotator) -> AskError | None:
                try:
                    vote = await annotator.vote(draft, picture)
                except AskError as error:
                    return error
                self.journal.vote(draft.id, vote)
                votes[annotator.name] = vote
                return None

            missing = [a for a in self._annotators if a.name not in votes]
            failed = [error for error in await asyncio.gather(*map(ask, missing)) if error]
            if failed:
                raise gravest(failed)
            asked = [votes[annotator.name] for annotator in self._annotators]
            decided = verdict(draft, asked, len(self._annotators))
            if decided is not None:
                self.journal.settle(draft.id, decided.state, decided.reason)

        await self._each("annotating", list(self.journal.drafts(State.CONVERTED)), one)

    async def _each(
        self, what: str, drafts: Sequence[Draft], step: Callable[[Draft], Awaitable[None]]
    ) -> None:
        """Take the step for every draft, some at once; items without a reply are left for a call.

        A spent budget ends it, and so does a provider that leaves so many in a row unanswered.
        """
        coming = iter([draft for draft in drafts if draft.id not in self._unanswered])
        done = in_a_row = 0
        self._tell(what, 0, len(drafts))

        async def work() -> None:
            nonlocal done, in_a_row
            for draft in coming:
                if self.report.stopped:
                    return
                try:
                    await step(draft)
                except BudgetSpent as error:
                    self.report.stopped = str(error)
                    return
                except AskError as error:
                    self._unanswered.add(draft.id)
                    self.report.reasons[draft.dataset, f"waits: {error}"] += 1
                    in_a_row += isinstance(error, Unreachable)
                    if in_a_row >= GIVE_UP_AFTER and not self.report.stopped:
                        self.report.stopped = f"{in_a_row} items in a row without a reply: {error}"
                else:
                    in_a_row = 0
                done += 1
                self._tell(what, done, len(drafts))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(AT_ONCE, len(drafts))):
                    group.create_task(work())
        except ExceptionGroup as several:
            raise several.exceptions[0] from None

    def _picture(self, draft: Draft) -> bytes:
        return (self._directory / draft.image).read_bytes()


def _open_all(plan: Plan) -> list[tuple[Source, SourcePlan]]:
    opened = [
        (
            open_source(
                one.benchmark,
                Path(one.path),
                images=Path(one.images) if one.images else None,
                columns=one.columns,
                dataset=one.made_dataset.name,
            ),
            one,
        )
        for one in plan.sources
    ]
    choices = [(source, one) for source, one in opened if one.benchmark == VMCBENCH]
    if not choices:
        return list(opened)
    rest = [source for source, one in opened if one.benchmark != VMCBENCH]
    return [(PairedSource(source, rest), one) for source, one in choices]


def write_kept(
    directory: Path, name: str, datasets: Iterable[Dataset], kept: Sequence[Draft]
) -> Suite:
    """Write a suite of kept drafts with the provenance of each, over an earlier one.

    Raises:
        SuiteError: what was made is no suite.
    """
    used = {draft.dataset for draft in kept}
    ordered = sorted(kept, key=lambda draft: (draft.dataset, draft.origin.file, draft.origin.row))
    write_provenance(directory, map(_provenance, ordered))
    return write_suite(
        directory,
        name=name,
        kind="paired",
        datasets=[dataset for dataset in datasets if dataset.name in used],
        items=(
            DraftItem(
                dataset=draft.dataset,
                key=draft.key,
                question=draft.question,
                image=draft.image,
                answers=draft.answers,
                options=draft.options,
                gold_index=draft.gold_index,
                meta=draft.meta,
            )
            for draft in ordered
        ),
        replace_old=True,
    )


def write_from_journal(directory: Path) -> Suite | None:
    """Write the suite anew from a journal, as after a review; None where nothing is kept.

    Raises:
        JournalError: no build there, or none that has been written before.
        SuiteError: what was made is no suite.
    """
    journal = Journal(directory)
    try:
        name, datasets = journal.setting("name"), journal.setting("datasets")
        if datasets is None:
            raise JournalError(f"{directory}: nothing was kept yet; run ctv-tui suite build first")
        kept = list(journal.drafts(State.KEPT))
        made = [Dataset(**entry) for entry in datasets]
        return write_kept(directory, name, made, kept) if kept else None
    finally:
        journal.close()


def _stated(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "open_metric": dataset.open_metric,
        "max_new_tokens": dataset.max_new_tokens,
        "open_instruction": dataset.open_instruction,
    }


def _provenance(draft: Draft) -> dict[str, Any]:
    return {
        "dataset": draft.dataset,
        "key": draft.key,
        "source_file": draft.origin.file,
        "source_row": draft.origin.row,
        **draft.provenance,
    }


def is_rules(plan: Plan) -> bool:
    """Whether no language model makes the options."""
    return plan.convert == RULES
