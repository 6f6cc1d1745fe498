"""From benchmarks to a suite, step by step; every step is in the journal before the next begins."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ctv_engine.construction.converting import Annotator, Converted, Converter, Pool, Rejected
from ctv_engine.construction.distractors import Known, RulesConverter
from ctv_engine.construction.journal import (
    JOURNAL_FILE,
    Draft,
    Journal,
    JournalError,
    State,
)
from ctv_engine.construction.plan import RULES, VMCBENCH, Plan, SourcePlan
from ctv_engine.construction.readers import open_source
from ctv_engine.construction.readers.pairing import PairedSource
from ctv_engine.construction.sampling import Sample, draw
from ctv_engine.construction.source import Fault, Source, SourceItem
from ctv_engine.construction.votes import verdict
from ctv_engine.construction.writing import stated, write_kept
from ctv_engine.llm.asking import AskError, BudgetSpent, Unreachable, gravest
from ctv_engine.suite import LETTERS, Dataset, Suite, store_image
from ctv_engine.suite.files import SUITE_FILE
from ctv_engine.suite.metrics import check_meta

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
        restart: bool = False,
    ) -> None:
        """Open the sources and the journal, with ``restart`` a new one in place of an earlier one.

        ``converter`` makes the converter from each dataset's answers; by default it is the rules.
        ``agree`` is asked once, before the first item is converted or annotated.

        Raises:
            JournalError: the directory holds a build of another plan, or a suite that no build
                made.
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
        self._unusable: set[tuple[str, str]] = set()
        self._exhausted: set[str] = set()
        if restart:
            for suffix in ("", "-wal", "-shm"):
                (directory / f"{JOURNAL_FILE}{suffix}").unlink(missing_ok=True)
        elif (directory / SUITE_FILE).exists() and not (directory / JOURNAL_FILE).exists():
            raise JournalError(
                f"{directory} holds a suite, but no build of it to go on with; use another --out,"
                " or --restart to replace it"
            )
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
        counts = {dataset: self._wanted(dataset) for dataset in self.datasets}
        if before is None:
            self.journal.set("plan", now)
            self.journal.set("counts", counts)
            return
        for name, value in before.items():
            if name == "sources":
                for source, entry in value.items():
                    if now["sources"].get(source) != entry:
                        how = "is another" if source in now["sources"] else "is missing"
                        raise JournalError(self._other(f"the source of {source} {how}"))
            elif now[name] != value:
                raise JournalError(self._other(f"{name} was {value!r}, now it is {now[name]!r}"))
        for dataset, earlier in (self.journal.setting("counts") or {}).items():
            wanted = counts[dataset]
            if wanted is not None and (earlier is None or wanted < earlier):
                was = "all" if earlier is None else earlier
                raise JournalError(self._other(f"n of {dataset} was {was}, now it is {wanted}"))
        self.journal.set("plan", now)
        self.journal.set("counts", counts)

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
            self.journal.set("datasets", [stated(d) for d in self.datasets.values()])
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
        coming = self._new((*sample.chosen, *sample.spare), known)
        source = self._source_of(dataset)
        if len(sample.chosen) + len(sample.spare) + sum(sample.faults.values()) == sample.rows:
            self._exhausted.add(dataset)
        added = 0
        while wanted > 0:
            if not coming:
                coming = self._further(dataset, wanted, known)
            if not coming:
                break
            batch, coming = coming[:wanted], coming[wanted:]
            kept: list[tuple[SourceItem, str]] = []
            for item, picture in source.pictures(batch):
                self._tell(f"pictures of {dataset}", added + len(kept), added + wanted)
                if isinstance(picture, Fault):
                    counts = self.report.counts[dataset]
                    counts.faults["picture"] += 1
                    counts.examples.setdefault("picture", picture)
                    self._unusable.add((dataset, item.key))
                else:
                    kept.append((item, store_image(self._directory, picture)))
            order = {item.key: place for place, item in enumerate(batch)}
            self.journal.add(sorted(kept, key=lambda one: order[one[0].key]))
            known.update(order)
            added += len(kept)
            wanted -= len(kept)
        return added

    def _new(self, items: Iterable[SourceItem], known: set[str]) -> list[SourceItem]:
        return [
            item
            for item in items
            if item.key not in known and (item.dataset, item.key) not in self._unusable
        ]

    def _further(self, dataset: str, wanted: int, known: set[str]) -> list[SourceItem]:
        """Return what comes next in the draw, by another pass over the source, if it has more."""
        if dataset in self._exhausted:
            return []
        without = {(dataset, key) for key in known} | self._unusable
        rows = self._source_of(dataset).items()
        drawn = draw(
            (row for row in rows if isinstance(row, Fault) or row.dataset == dataset),
            wanted,
            self._plan.seed,
            without,
        )
        if not drawn.chosen:
            self._exhausted.add(dataset)
        return [*drawn.chosen, *drawn.spare]

    def _source_of(self, dataset: str) -> Source:
        for source, plan in self._sources:
            if isinstance(source, PairedSource) or plan.made_dataset.name == dataset:
                return source
        raise KeyError(dataset)

    # --- conversion and annotation ------------------------------------------------------------

    async def _convert(self, converter: Converter) -> None:
        async def one(draft: Draft) -> None:
            pool = Pool(self.datasets[draft.dataset].open_metric)
            unfit = _unfit(draft, self.datasets[draft.dataset])
            if unfit is not None:
                made: Converted | Rejected = Rejected(unfit)
            else:
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


def _unfit(draft: Draft, dataset: Dataset) -> str | None:
    """Return why no options could make an item of the suite out of a draft, None if some could."""
    faults = check_meta(dataset.open_metric, draft.answers, draft.meta.over(dataset.meta))
    if draft.options and not 2 <= len(draft.options) <= len(LETTERS):
        faults.append(f"{len(draft.options)} options; it takes 2 to {len(LETTERS)}")
    return faults[0] if faults else None


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


def is_rules(plan: Plan) -> bool:
    """Whether no language model makes the options."""
    return plan.convert == RULES
