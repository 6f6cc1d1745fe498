"""Giving the devices back for a while, and taking free ones again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path

from ctv_engine.runtime.devices import DeviceError
from ctv_engine.service.crew import Crew
from ctv_engine.service.events import Tell
from ctv_engine.service.placement import PATIENCE_S
from ctv_engine.store.control import is_pause_asked
from ctv_engine.telemetry.poller import News

LINGERS_S = 1.0
"""For so long after its last worker has ended a GPU's readings still speak of it."""

Settle = Callable[[float, bool], Sequence[News] | None]
"""Choose devices by readings from a time on, in a hurry or not; None: too early to say."""


class Stage(Enum):
    """Where the crew is between work and rest."""

    WORKING = "working"
    FINISHING = "finishing"
    RESTING = "resting"
    RETURNING = "returning"


class Pause:
    """Follows the wish for a pause, step by step; nothing here waits.

    Working → finishing: no new units; → resting: every worker has ended and its memory is free;
    → returning: devices are chosen anew, since others may use the old ones by now; → working.
    """

    def __init__(self, database: Path, crew: Crew, settle: Settle, tell: Tell) -> None:
        self._database = database
        self._crew = crew
        self._settle = settle
        self._tell = tell
        self._rested_at = 0.0
        self._returning_since = 0.0
        self._refused = False
        self.stage = Stage.WORKING

    @property
    def working(self) -> bool:
        """Whether workers may be given units."""
        return self.stage is Stage.WORKING

    @property
    def resting(self) -> bool:
        """Whether no device is used."""
        return self.stage in (Stage.RESTING, Stage.RETURNING)

    def begin(self) -> None:
        """Start the crew, or begin with the pause that was asked for before."""
        if is_pause_asked(self._database):
            self.stage = Stage.RESTING
            self._tell("warning", "engine", f"it starts paused, as was asked; {self._way_out}")
        else:
            self._crew.start_all()

    def step(self, settled: bool) -> None:
        """Take the next step, if it is time; ``settled``: everything so far has been stored."""
        asked = is_pause_asked(self._database)
        if asked and self.stage is Stage.WORKING:
            self.stage = Stage.FINISHING
            self._crew.stand_down()
            self._tell("info", "engine", "pausing: the batches under way are finished first")
        elif not asked and self.stage is Stage.FINISHING:
            self._work()
        elif asked and self.stage is Stage.FINISHING and settled and not self._crew.busy:
            self._crew.rest()
            self.stage = Stage.RESTING
            self._rested_at = time.time() + LINGERS_S
            self._tell("info", "engine", f"paused: no device is used; {self._way_out}")
        elif not asked and self.stage is Stage.RESTING:
            self.stage = Stage.RETURNING
            self._returning_since = time.monotonic()
            self._refused = False
        elif asked and self.stage is Stage.RETURNING:
            self.stage = Stage.RESTING
        elif self.stage is Stage.RETURNING:
            self._return()

    def _return(self) -> None:
        hurry = time.monotonic() - self._returning_since > PATIENCE_S
        try:
            notes = self._settle(self._rested_at, hurry)
        except DeviceError as error:
            if not self._refused:
                self._tell("warning", "engine", f"can't resume yet, and tries again: {error}")
            self._refused = True
            return
        if notes is None:
            return
        for note in notes:
            self._tell(note.level, "devices", note.text)
        self._work()

    def _work(self) -> None:
        self._crew.start_all()
        self.stage = Stage.WORKING
        self._tell("info", "engine", "resumed")

    @property
    def _way_out(self) -> str:
        return f"`ctv-tui resume --db {self._database}` lets it go on"
