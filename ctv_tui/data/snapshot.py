"""What a person sees at one instant, as frozen values. Times are UTC epoch seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ctv_engine.store.rows import (
    MACRO,
    POOLED,
    CheckpointState,
    EngineState,
    EvaluationState,
    EventLevel,
    EvidenceRow,
    Mode,
    RankRow,
    SpanKind,
)
from ctv_engine.store.scopes import parts
from ctv_tui.data.item_rows import ItemDetail, ItemPage
from ctv_tui.data.tracks import Track

Health = Literal["ok", "waiting", "gone", "locked", "newer", "unreadable"]
"""``waiting``: never seen yet; ``gone``: was there; ``newer``: a newer schema than ours."""

NodeState = Literal["joined", "set aside", "left"]
Missing = Literal["unsupported", "failed", "unknown"]
"""Why a reading has no value: the device never has it, this attempt failed, nobody said why."""

_CLOSED_DONE = ("closed", "done")

FEW = 5
"""With fewer checkpoints than this, a correlation is a number with a warning, not a verdict."""


@dataclass(frozen=True, slots=True)
class Source:
    """The database file and how it is doing."""

    path: str
    health: Health
    detail: str = ""
    archived: bool = False
    replaced_at: float | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """The validated training run."""

    id: int
    name: str
    checkpoint_dir: str
    suite_digest: str
    gold_digest: str | None
    started_at: float
    finished_at: float | None


@dataclass(frozen=True, slots=True)
class Engine:
    """What the engine last said about itself."""

    pid: int
    host: str
    state: EngineState
    heartbeat_at: float
    version: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint of the run."""

    id: int
    step: int
    path: str
    state: CheckpointState
    reason: str | None
    found_at: float
    ready_at: float | None
    done_at: float | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One checkpoint in one mode, with its progress in items and its balance in seconds."""

    id: int
    checkpoint_id: int
    step: int
    mode: Mode
    schedule: str
    state: EvaluationState
    reason: str | None
    planned: int
    done: int
    failed: int
    started_at: float | None
    finished_at: float | None
    makespan_s: float | None
    ideal_s: float | None
    idle_fraction: float | None

    @property
    def progress(self) -> float:
        """Share of the planned items that has a result, 0…1."""
        return min(1.0, (self.done + self.failed) / self.planned) if self.planned else 0.0


@dataclass(frozen=True, slots=True)
class Point:
    """The score of one checkpoint on one dataset; ``value`` None is a gap."""

    step: int
    value: float | None
    stderr: float | None
    n: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Trajectory:
    """The scores of one mode on one dataset (or ``macro``, the mean), ordered by step."""

    mode: Mode
    dataset: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a lane: seconds since the evaluation's first span."""

    kind: SpanKind
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Lane:
    """One worker's part in one evaluation; ``wait_s`` is known once the evaluation has ended.

    ``busy_s`` is the sum of its spans.
    """

    worker_id: int
    device: str
    segments: tuple[Segment, ...]
    last_end_s: float
    wait_s: float | None
    busy_s: float = 0.0
    host: str = ""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Who did what when in one evaluation. ``extent_s`` is from first to last span.

    ``began_at`` is the first span's start, so that the time lines of two evaluations can be put on
    one axis.
    """

    step: int
    mode: Mode
    state: EvaluationState
    extent_s: float
    idle_fraction: float | None
    makespan_s: float | None
    ideal_s: float | None
    lanes: tuple[Lane, ...]
    began_at: float = 0.0
    checkpoint_id: int = 0


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU, or one worker's process on a machine without: its last reading and minute.

    ``history`` holds utilisation in per cent, oldest first, one value a reading; None where a
    reading failed or none was made. ``missing`` says why a field has no value. ``worker_ids`` are
    all workers that ever had the device, ``workers`` the names of those that have it now.
    ``number`` is the driver's; ``other_processes`` and ``other_memory`` are those of strangers.
    """

    gpu_uuid: str
    host: str
    workers: tuple[str, ...]
    at: float
    status: str
    reason: str | None
    utilisation: float | None
    memory_used: int | None
    memory_total: int | None
    power_w: float | None
    temperature_c: float | None
    sm_clock_mhz: float | None
    throttle: str | None
    history: tuple[float | None, ...]
    worker_ids: tuple[int, ...] = ()
    power_limit_w: float | None = None
    missing: tuple[tuple[str, Missing], ...] = ()
    number: int | None = None
    model: str | None = None
    other_processes: int | None = None
    other_memory: int | None = None

    @property
    def is_host(self) -> bool:
        """Whether this is a worker's process rather than a GPU."""
        return self.status == "host" or self.gpu_uuid.startswith("cpu")


@dataclass(frozen=True, slots=True)
class Host:
    """A machine that workers run or ran on, with what the cluster says of it.

    ``workers`` are those that are up or starting. ``state`` is None on a machine that is in no
    cluster; the clock's offset is its clock minus the engine's, None where it was not measured.
    """

    name: str
    workers: int = 0
    address: str | None = None
    state: NodeState | None = None
    reason: str | None = None
    slots: int | None = None
    clock_offset_s: float | None = None
    clock_error_s: float | None = None
    joined_at: float | None = None
    left_at: float | None = None
    silent_s: float | None = None


@dataclass(frozen=True, slots=True)
class Latency:
    """Mean seconds per item of one mode on one dataset (or ``macro``: over all items)."""

    dataset: str
    mode: Mode
    n: int
    prefill_s: float | None
    decode_s: float | None
    output_tokens: float | None

    @property
    def total_s(self) -> float | None:
        """Prefill and decode together."""
        return None if self.prefill_s is None else self.prefill_s + (self.decode_s or 0.0)


@dataclass(frozen=True, slots=True)
class LengthBin:
    """How many open answers have ``low`` … ``high`` output tokens."""

    low: int
    high: int
    count: int


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Seconds per item that half, 95 % and 99 % of a mode's items do not exceed (nearest rank)."""

    mode: Mode
    n: int
    p50_s: float
    p95_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class WorkCounts:
    """An evaluation's row of the view ``work``. ``forwards`` 0: nothing was counted.

    Of closed and open forms that were answered together the prefill is counted with closed.
    """

    mode: Mode
    forwards: int
    prompt_tokens: int
    processed_tokens: int
    shared_tokens: int
    row_steps: int
    images_decoded: int
    images_reused: int
    padding_share: float | None
    output_tokens: int | None


@dataclass(frozen=True, slots=True)
class Saving:
    """What closed saves against one way to answer open, or why that is not known.

    ``share`` is 1 − closed seconds per item / open seconds per item, both over the items of one
    checkpoint; negative if closed needs more. ``run`` names the run that answered open, if it is
    not the one that is shown.
    """

    against: Literal["baseline", "own"]
    share: float | None = None
    closed_s: float | None = None
    open_s: float | None = None
    step: int | None = None
    run: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LatencyReport:
    """Latency of the latest checkpoint that has both closed and open results."""

    step: int
    rows: tuple[Latency, ...]
    lengths: tuple[LengthBin, ...]
    capped: float | None
    percentiles: tuple[Percentiles, ...] = ()
    work: tuple[WorkCounts, ...] = ()
    limit: int | None = None

    def row(self, mode: Mode, dataset: str = MACRO) -> Latency | None:
        """Return one row."""
        return next((r for r in self.rows if r.mode == mode and r.dataset == dataset), None)

    @property
    def saving(self) -> float | None:
        """Share of open's seconds per item that closed does not need; negative if it needs more."""
        closed, opened = self.row("closed"), self.row("open")
        if closed is None or opened is None or closed.total_s is None or not opened.total_s:
            return None
        return 1.0 - closed.total_s / opened.total_s


@dataclass(frozen=True, slots=True)
class Correlation:
    """Pearson's r of a proxy with gold. ``window`` 0 is the whole run up to ``step``."""

    proxy: Mode
    scope: str
    window: int
    step: int
    r: float | None
    low: float | None
    high: float | None
    n: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class Event:
    """Something the engine said."""

    id: int
    at: float
    level: EventLevel
    kind: str
    message: str
    step: int | None


@dataclass(frozen=True, slots=True)
class OtherRun:
    """A run that is not the one shown. ``file`` is empty for one of the same database.

    ``ready_at`` holds, by step, when its checkpoint was whole. ``trouble`` says why a file has
    nothing to show.
    """

    file: str
    name: str
    trajectories: tuple[Trajectory, ...] = ()
    ready_at: tuple[tuple[int, float], ...] = ()
    trouble: str = ""

    def points(self, mode: Mode, dataset: str) -> tuple[Point, ...]:
        """Return a trajectory's points, or none."""
        for trajectory in self.trajectories:
            if trajectory.mode == mode and trajectory.dataset == dataset:
                return trajectory.points
        return ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the dashboard shows, as of ``read_at``.

    Unchanged parts are the same objects as in the snapshot before. ``loading`` says that the
    reader has not yet caught up with the file.
    """

    source: Source
    read_at: float
    run: Run | None = None
    engine: Engine | None = None
    checkpoints: tuple[Checkpoint, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    datasets: tuple[str, ...] = ()
    trajectories: tuple[Trajectory, ...] = ()
    timelines: tuple[Timeline, ...] = ()
    devices: tuple[Device, ...] = ()
    latency: LatencyReport | None = None
    rolling: tuple[Correlation, ...] = ()
    whole: tuple[Correlation, ...] = ()
    events: tuple[Event, ...] = ()
    loading: bool = False
    other_runs: tuple[OtherRun, ...] = ()
    savings: tuple[Saving, ...] = ()
    evidence: tuple[EvidenceRow, ...] = ()
    ranking: tuple[RankRow, ...] = ()
    tracks: tuple[Track, ...] = ()
    rolling_scopes: tuple[tuple[Correlation, ...], ...] = ()
    items: ItemPage | None = None
    item: ItemDetail | None = None
    hosts: tuple[Host, ...] = ()
    imported: tuple[Trajectory, ...] = ()
    """Series beside the run's own gold: mode ``gold``, with a scope in the dataset's place."""

    def points(self, mode: Mode, dataset: str = MACRO) -> tuple[Point, ...]:
        """Return a trajectory's points, or none."""
        for trajectory in self.trajectories:
            if trajectory.mode == mode and trajectory.dataset == dataset:
                return trajectory.points
        return ()

    def golds(self, scope: str) -> dict[str, tuple[Point, ...]]:
        """Return by dataset the points of what stands for gold in a scope; pooled has several."""
        series, dataset = parts(scope)
        found = {
            parts(one.dataset)[1] if series else one.dataset: one.points
            for one in (self.imported if series else self.trajectories)
            if one.mode == "gold" and (not series or parts(one.dataset)[0] == series)
        }
        if dataset == POOLED:
            return {name: points for name, points in found.items() if name != MACRO}
        return {dataset: found.get(dataset, ())}

    @property
    def running(self) -> tuple[Evaluation, ...]:
        """Evaluations under way: newest checkpoint first, closed before open before gold."""
        order = {"closed": 0, "open": 1, "gold": 2}
        now = [e for e in self.evaluations if e.state == "running"]
        return tuple(sorted(now, key=lambda e: (order[e.mode], -e.step)))

    @property
    def queued(self) -> int:
        """How many evaluations wait."""
        return sum(1 for e in self.evaluations if e.state == "queued")

    @property
    def lag(self) -> int:
        """How many whole checkpoints still have no complete closed score."""
        closed = {e.checkpoint_id for e in self.evaluations if (e.mode, e.state) == _CLOSED_DONE}
        waiting = (c for c in self.checkpoints if c.state in ("ready", "scoring"))
        return sum(1 for c in waiting if c.id not in closed)

    def track(self, mode: Mode, scope: str = MACRO) -> Track | None:
        """Return how a series follows gold in a scope."""
        return next((t for t in self.tracks if t.mode == mode and t.scope == scope), None)

    def ranked(self, mode: Mode) -> tuple[RankRow, ...]:
        """Return the checkpoints by the macro mean of a mode, best first."""
        return tuple(row for row in self.ranking if row.mode == mode)

    def rolling_of(self, scope: str) -> tuple[Correlation, ...]:
        """Return both proxies' rolling correlations of a scope, ordered by step."""
        return next((rows for rows in self.rolling_scopes if rows[0].scope == scope), ())

    def correlation(self, proxy: Mode, scope: str = MACRO) -> Correlation | None:
        """Return a proxy's whole-run correlation with gold."""
        return next((c for c in self.whole if c.proxy == proxy and c.scope == scope), None)
