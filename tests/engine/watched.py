"""A training run that is watched, with a clock that the test turns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tiny

from ctv_engine.checkpoints.watch import Sighting, Watcher

QUIET_S = 2.0
ABANDON_S = 60.0


class Run:
    """A watched training run; one poll a second."""

    def __init__(self, home: Path, fixed: Sequence[Path] = (), *, watched: bool = True) -> None:
        self.root = home / "run"
        self.root.mkdir(exist_ok=True)
        self.pins = home / "pins"
        self.now = 1000.0
        self.seen: list[Sighting] = []
        self._fixed = fixed
        self._watched = watched
        self.watcher = self.restarted()

    def restarted(self) -> Watcher:
        """Return a watcher as a new engine would make it."""
        self.watcher = Watcher(
            root=self.root if self._watched else None,
            pins=self.pins,
            quiet_s=QUIET_S,
            abandon_s=ABANDON_S,
            fixed=self._fixed,
            clock=lambda: self.now,
        )
        return self.watcher

    def poll(self, times: int = 1) -> list[Sighting]:
        """Let ``times`` seconds pass with a poll at the end of each; return what was reported."""
        new: list[Sighting] = []
        for _ in range(times):
            self.now += 1.0
            new += self.watcher.poll()
        self.seen += new
        return new

    def save(
        self, step: int, *, save_steps: int = 10, max_steps: int = 10**6, seed: int = 0
    ) -> Path:
        """Save a whole checkpoint at once."""
        path = self.root / f"checkpoint-{step}"
        return tiny.bare_checkpoint(
            path, step, save_steps=save_steps, max_steps=max_steps, seed=seed
        )

    def kinds(self, step: int | None = None) -> list[str]:
        return [s.kind for s in self.seen if step is None or s.step == step]

    def only(self, kind: str) -> Sighting:
        (sighting,) = [s for s in self.seen if s.kind == kind]
        return sighting
