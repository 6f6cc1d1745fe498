"""The run's settings: validated once, passed to the engine as JSON, stored with the run."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
Schedule = Literal["queue", "static"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
Files = Literal["auto", "shared", "ship"]
FILES: tuple[Files, ...] = get_args(Files)
Debias = Literal["none", "cyclic", "pride", "batch"]
DEBIASES: tuple[Debias, ...] = get_args(Debias)


def default_cache() -> Path:
    """Return where the input cache of this machine's user lies."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "ctv-tui" / "inputs"


class SettingsError(ValueError):
    """A setting that can't be used; the text names it and what it may be."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a run depends on.

    Either ``checkpoint_dir`` is watched, or the directories in ``checkpoints`` are evaluated once.
    ``every`` scores each k-th checkpoint (the last one always); ``gold_every`` likewise for gold.
    ``base`` is the base model of checkpoints that hold only an adapter, where they do not name it.
    ``drain`` ends the engine when all that is known has been scored. Paths are absolute.

    ``batch_size`` is the most rows of a forward, ``batch_tokens`` the most prompt tokens, padding
    included. ``pairing`` answers closed and open form of an item together where both are due.
    ``debias`` adds closed scores without the preference for letters, ``cloze`` those of the
    options' text.
    ``cache_gb`` bounds the input cache in ``cache_dir``; 0: none.
    ``hang_s`` is the least time that a worker gets for a batch before it counts as stuck,
    ``silence_s`` how long it may send no heartbeat. ``pool`` is ``local``, ``ray`` or
    ``ray:HOST:PORT``; of a cluster, ``files`` says how its machines get checkpoints and suites, and
    ``node_silence_s`` how long one may say nothing before it counts as gone. ``judge`` is the file
    that names the judge of datasets with that metric, ``judge_calls`` the most questions to it.
    ``alert_command`` is run for alerts, at most once in ``alert_every_s``. ``log_to`` are trackers,
    such as ``tensorboard:DIR`` or ``wandb:PROJECT``.
    """

    db: str
    suite: str
    gold: str | None = None
    checkpoint_dir: str | None = None
    checkpoints: tuple[str, ...] = ()
    name: str | None = None
    devices: str = "auto"
    pool: str = "local"
    files: Files = "auto"
    node_silence_s: float = 10.0
    dtype: Dtype = "auto"
    batch_size: int = 32
    batch_tokens: int = 8192
    pairing: bool = True
    schedule: Schedule = "queue"
    debias: Debias = "none"
    cloze: bool = False
    cache_gb: float = 20.0
    cache_dir: str | None = None
    every: int = 1
    gold_every: int = 1
    poll_s: float = 1.0
    quiet_s: float = 2.0
    abandon_s: float = 600.0
    window: int = 8
    processor: str | None = None
    base: str | None = None
    hang_s: float = 600.0
    silence_s: float = 60.0
    drain: bool = False
    judge: str | None = None
    judge_calls: int | None = None
    alert_command: str | None = None
    alert_every_s: float = 300.0
    log_to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            SettingsError: a value is out of its range.
        """
        if bool(self.checkpoint_dir) == bool(self.checkpoints):
            raise SettingsError("give a directory to watch or checkpoints to evaluate, not both")
        if self.dtype not in DTYPES:
            raise SettingsError(f"dtype {self.dtype!r}; use one of {', '.join(DTYPES)}")
        if self.schedule not in SCHEDULES:
            raise SettingsError(f"schedule {self.schedule!r}; use one of {', '.join(SCHEDULES)}")
        if self.files not in FILES:
            raise SettingsError(f"files {self.files!r}; use one of {', '.join(FILES)}")
        if self.pool not in ("local", "ray") and not self.pool.startswith("ray:"):
            raise SettingsError(f"pool {self.pool!r}; use local, ray or ray:HOST:PORT")
        if self.debias not in DEBIASES:
            raise SettingsError(f"debias {self.debias!r}; use one of {', '.join(DEBIASES)}")
        if not isinstance(self.cloze, bool):
            raise SettingsError(f"cloze is {self.cloze!r}; it must be true or false")
        for name, kind, least in (
            ("batch_size", int, 1),
            ("batch_tokens", int, 1),
            ("cache_gb", (int, float), 0),
            ("every", int, 1),
            ("gold_every", int, 1),
            ("window", int, 3),
            ("poll_s", (int, float), 0.05),
            ("quiet_s", (int, float), 0),
            ("abandon_s", (int, float), 0),
            ("hang_s", (int, float), 1),
            ("silence_s", (int, float), 3),
            ("node_silence_s", (int, float), 3),
            ("judge_calls", int, 1),
            ("alert_every_s", (int, float), 0),
        ):
            value = getattr(self, name)
            if value is None and name == "judge_calls":
                continue
            if not isinstance(value, kind):
                raise SettingsError(f"{name} is {value!r}; it must be a number")
            if not value >= least:  # NaN is not at least anything
                raise SettingsError(f"{name} is {value}; it must be at least {least}")

    @property
    def watched(self) -> Path:
        """The directory that names the run."""
        return Path(self.checkpoint_dir or Path(self.checkpoints[0]).parent)

    @property
    def ray_address(self) -> str | None:
        """The head of the cluster, or None for the one that this machine is a part of."""
        return self.pool.removeprefix("ray").removeprefix(":") or None

    @property
    def pins(self) -> Path:
        """Where checkpoints are pinned while they are evaluated.

        For a cluster that is beside them, where other machines see what this one sees.
        """
        beside = Path(self.db + ".pins")
        if self.pool == "local" or not os.access(self.watched, os.W_OK):
            return beside
        return self.watched / f".ctv-tui-{hashlib.sha256(self.db.encode()).hexdigest()[:12]}"

    @property
    def replies(self) -> Path:
        """Where the judge's replies are kept, so that none is paid for twice."""
        return Path(self.db + ".replies")

    @property
    def cache_directory(self) -> Path | None:
        """Where the input cache lies, or None if there is none."""
        if not self.cache_gb:
            return None
        return Path(self.cache_dir) if self.cache_dir else default_cache()

    def to_json(self) -> str:
        """Return the settings as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Read settings back.

        Raises:
            SettingsError: not JSON, an unknown name, or a value out of its range.
        """
        try:
            values: Any = json.loads(text)
        except json.JSONDecodeError as error:
            raise SettingsError(f"settings are not JSON: {error}") from error
        if not isinstance(values, dict):
            raise SettingsError(f"settings must be a JSON object, not {text[:40]!r}")
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise SettingsError(f"unknown settings: {', '.join(unknown)}")
        for name in ("checkpoints", "log_to"):
            values[name] = tuple(values.get(name, ()))
        try:
            return cls(**values)
        except TypeError as error:
            raise SettingsError(str(error)) from error
