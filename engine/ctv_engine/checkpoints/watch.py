"""Following a directory of checkpoints by polling."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ctv_engine.checkpoints.adapters import ADAPTER_CONFIG
from ctv_engine.checkpoints.completeness import (
    STATE_FILE,
    ExpectedSteps,
    Inspection,
    inspect,
    recorded_step,
    step_of,
)
from ctv_engine.checkpoints.pin import Pin, pin

QUIET_POLLS = 2
MAX_EXPECTED = 1000

SightingKind = Literal["found", "writing", "ready", "failed", "vanished", "missing", "unreachable"]


@dataclass(frozen=True, slots=True)
class Sighting:
    """One change of what is known of one checkpoint directory.

    ``ready`` carries the pin, and whether the trainer says that this is its last checkpoint.
    ``missing`` is a step that the run must have saved and that was gone before it was seen;
    ``unreachable`` says that the watched directory itself can't be read.
    """

    kind: SightingKind
    path: Path
    step: int
    at: float
    reason: str | None = None
    pin: Pin | None = None
    last: bool = False


@dataclass
class _Directory:
    path: Path
    step: int
    seen_at: float
    changed_at: float
    state: Literal["writing", "settled", "failed"] = "writing"
    inspection: Inspection | None = None
    unchanged_polls: int = 0
    reason: str | None = None


@dataclass
class Watcher:
    """Polls a directory, or a fixed list of checkpoints, and reports each change once.

    A directory is settled once it was reported as ready, failed or vanished. One that is written
    anew (a run resumed from an earlier step, a failed one that was mended) is reported again from
    the start.
    """

    root: Path | None
    pins: Path
    quiet_s: float
    abandon_s: float
    fixed: Sequence[Path] = ()
    base: Path | None = None
    clock: Callable[[], float] = time.time
    _known: dict[Path, _Directory] = field(default_factory=dict)
    _steps: set[int] = field(default_factory=set)
    _expected: ExpectedSteps | None = None
    _reported_missing: set[int] = field(default_factory=set)
    _unreachable: bool = False
    _absent: set[Path] = field(default_factory=set)

    def assume_settled(self, since: Mapping[Path, float], steps: Iterable[int]) -> None:
        """Take directories as dealt with and steps as seen.

        One whose weights or configuration were written after the time given is looked at anew.
        """
        now = self.clock()
        for path, settled_at in since.items():
            try:
                seen = inspect(path, step_of(path), self.base)
            except OSError:
                continue
            if any(mtime_ns / 1e9 > settled_at for _, _, mtime_ns, _ in _core(seen)):
                continue
            step = step_of(path) or recorded_step(path) or 0
            self._known[path] = _Directory(path, step, now, now, "settled", seen)
        self._steps.update(steps)

    @property
    def unsettled(self) -> bool:
        """Whether a directory is there that has not been reported as ready, failed or vanished."""
        return any(known.state == "writing" for known in self._known.values())

    def poll(self) -> list[Sighting]:
        """Look once at everything and return what changed, by step."""
        now = self.clock()
        sightings: list[Sighting] = []
        present = self._present(sightings, now)
        if present is None:
            return sightings
        for path in [path for path in self._known if path not in present]:
            gone = self._known.pop(path)
            if gone.state == "writing":
                reason = f"deleted before it was whole ({gone.reason or 'just found'})"
                sightings.append(Sighting("vanished", path, gone.step, now, reason))
        for path, step in sorted(present.items(), key=lambda pair: pair[1]):
            sightings += self._look(path, step, now)
        sightings += self._missing(now)
        return sightings

    def _present(self, sightings: list[Sighting], now: float) -> dict[Path, int] | None:
        if self.root is None:
            return self._present_of_fixed(sightings, now)
        try:
            candidates = [(path, step_of(path)) for path in self.root.iterdir()]
        except OSError as error:
            if not self._unreachable:
                reason = f"{self.root} can't be read: {error.strerror or error}"
                sightings.append(Sighting("unreachable", self.root, 0, now, reason))
            self._unreachable = True
            return None
        self._unreachable = False
        return {path: step for path, step in candidates if step is not None and _is_dir(path)}

    def _present_of_fixed(self, sightings: list[Sighting], now: float) -> dict[Path, int]:
        """Return the given directories with their steps, or their places where none is stated."""
        steps: dict[Path, int | None] = {}
        for path in self.fixed:
            stated = step_of(path)
            steps[path] = recorded_step(path) if stated is None else stated
        taken = {step for step in steps.values() if step is not None}
        present: dict[Path, int] = {}
        for place, (path, step) in enumerate(steps.items(), start=1):
            number = place if step is None else step
            while step is None and number in taken:
                number += 1
            taken.add(number)
            if path.is_dir():
                present[path] = number
            elif path not in self._known and path not in self._absent:
                self._absent.add(path)
                sightings.append(Sighting("vanished", path, number, now, "no such directory"))
        return present

    def _inspect(self, path: Path) -> Inspection | None:
        """Look at a directory; None if it has just gone."""
        try:
            seen = inspect(path, step_of(path), self.base)
        except FileNotFoundError:
            return None
        except OSError as error:
            return Inspection("writing", f"can't be read: {error}", False, (), ())
        if self._lacks_its_end(seen):
            return replace(seen, verdict="writing", reason=f"no {STATE_FILE} yet")
        return seen

    def _lacks_its_end(self, seen: Inspection) -> bool:
        """Tell whether the run's other checkpoints end with a trainer state and this has none."""
        watched = self.root is not None and self._expected is not None
        return watched and seen.verdict == "whole" and seen.expected is None and not seen.marked

    def _look(self, path: Path, step: int, now: float) -> list[Sighting]:
        sightings: list[Sighting] = []
        known = self._known.get(path)
        seen = self._inspect(path)
        if seen is None:
            return []
        if known is not None and known.state != "writing":
            before = known.inspection
            unreadable = not seen.fingerprint
            if unreadable or before is None or before.fingerprint == seen.fingerprint:
                return []
            if not _rewritten(before, seen, failed=known.state == "failed"):
                known.inspection = seen
                return []
            known = None
        if known is None:
            known = _Directory(path, step, now, now)
            self._known[path] = known
            self._steps.add(step)
            sightings.append(Sighting("found", path, step, now))
        if known.inspection is None or known.inspection.fingerprint != seen.fingerprint:
            known.changed_at = now
            known.unchanged_polls = 0
        else:
            known.unchanged_polls += 1
        known.inspection = seen
        quiet = now - known.changed_at >= self.quiet_s and known.unchanged_polls + 1 >= QUIET_POLLS
        if seen.verdict == "whole" and (quiet or seen.marked):
            sightings.append(self._pin(known, seen, now))
        elif seen.verdict == "unusable" and quiet:
            sightings.append(self._settle(known, "failed", now, seen.reason))
        elif seen.verdict == "writing" and now - known.changed_at >= self.abandon_s and quiet:
            reason = f"{seen.reason} (nothing was written for {now - known.changed_at:.0f} s)"
            sightings.append(self._settle(known, "failed", now, reason))
        elif seen.verdict == "writing" and known.reason != seen.reason:
            known.reason = seen.reason
            sightings.append(Sighting("writing", path, step, now, seen.reason))
        return sightings

    def _pin(self, known: _Directory, seen: Inspection, now: float) -> Sighting:
        target = self.pins / f"{known.path.name}-{time.time_ns():x}"
        try:
            pinned = pin(known.path, seen.files, target, seen.base)
        except FileNotFoundError as error:
            name = Path(str(error.filename)).name
            return self._settle(known, "vanished", now, f"deleted while it was pinned ({name})")
        except OSError as error:
            return self._settle(known, "failed", now, f"can't be pinned: {error}")
        known.state = "settled"
        expected = seen.expected
        if expected is not None:
            self._expected = expected
        last = expected is not None and expected.max_steps == known.step
        return Sighting("ready", known.path, known.step, now, None, pinned, last)

    def _settle(
        self,
        known: _Directory,
        kind: Literal["failed", "vanished"],
        now: float,
        reason: str | None,
    ) -> Sighting:
        known.state = "failed" if kind == "failed" else "settled"
        return Sighting(kind, known.path, known.step, now, reason)

    def _missing(self, now: float) -> list[Sighting]:
        """Report steps between the first and the last seen that must have been saved."""
        save_steps = self._expected.save_steps if self._expected else None
        if not save_steps or self.root is None or len(self._steps) < 2:
            return []
        low, high = min(self._steps), max(self._steps)
        last = self._expected.max_steps if self._expected else None
        if any(step % save_steps for step in self._steps - {last}):
            return []  # saved by another beat, such as once an epoch
        if (high - low) // save_steps > MAX_EXPECTED:
            return []
        first = -(-low // save_steps) * save_steps
        gone = set(range(first, high, save_steps)) - self._steps - self._reported_missing
        self._reported_missing |= gone
        reason = f"saved every {save_steps} steps, but gone before it was seen"
        return [
            Sighting("missing", self.root / f"checkpoint-{step}", step, now, reason)
            for step in sorted(gone)
        ]


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _core(inspection: Inspection) -> set[tuple[str, int, int, int]]:
    """Return the fingerprint of weights and configuration alone."""
    return {
        entry
        for entry in inspection.fingerprint
        if entry[0].endswith(".safetensors") or entry[0] in ("config.json", ADAPTER_CONFIG)
    }


def _rewritten(before: Inspection, seen: Inspection, *, failed: bool) -> bool:
    """Tell whether a checkpoint was written anew, not just deleted from or added to.

    Of a failed one, any new content may be what was missing.
    """
    if failed:
        new = set(seen.fingerprint) - set(before.fingerprint)
        return bool(new) or seen.verdict == "whole"
    return bool(_core(seen) - _core(before))
