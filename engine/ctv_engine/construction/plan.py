"""What a build is asked to make: sources, counts, who converts and who annotates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ctv_engine.construction.readers import BENCHMARKS, DATASET_NAMES
from ctv_engine.construction.sampling import PRESETS
from ctv_engine.suite import OPEN_METRICS, Dataset, metric_defaults
from ctv_engine.suite.metrics import OpenMetric

RULES = "rules"
VMCBENCH = "vmcbench"
NO_REVIEW = "none"
_TOP = {
    "name", "seed", "options", "preset", "convert", "review", "rate", "annotate", "sources", "kind",
    "providers",
}  # fmt: skip
_SOURCE = {
    "benchmark", "path", "images", "columns", "n", "dataset", "open_metric", "max_new_tokens",
    "open_instruction",
}  # fmt: skip


class PlanError(Exception):
    """A plan that can't be carried out; names the setting and the way out."""


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """One benchmark: where it lies, how many items of it, and how its answers are scored."""

    benchmark: str
    path: str
    n: int | None = None
    images: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    dataset: str | None = None
    open_metric: OpenMetric | None = None
    max_new_tokens: int | None = None
    open_instruction: str | None = None

    @property
    def made_dataset(self) -> Dataset:
        """The dataset that its items form in the suite."""
        metric = self.open_metric or BENCHMARKS[self.benchmark].metric
        defaults = metric_defaults(metric)
        instruction = self.open_instruction
        return Dataset(
            self.dataset or DATASET_NAMES.get(self.benchmark) or Path(self.path).stem,
            metric,
            self.max_new_tokens or defaults.max_new_tokens,
            defaults.open_instruction if instruction is None else instruction,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole build.

    ``convert`` is ``rules`` or the name of a language-model provider; ``review`` and ``rate`` name
    others for these stages, the same one without them; ``review`` may be ``none``. ``annotate``
    names the providers that answer the converted items.
    """

    name: str
    sources: tuple[SourcePlan, ...]
    seed: int = 0
    options: int = 4
    convert: str = RULES
    review: str | None = None
    rate: str | None = None
    annotate: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check what can be checked without reading a file.

        Raises:
            PlanError: no sources, an unknown benchmark or metric, a number out of range.
        """
        if not self.sources:
            raise PlanError("no sources; name one with --source chartqa=PATH")
        if not 2 <= self.options <= 10:
            raise PlanError(f"options is {self.options}; choose 2 to 10")
        if self.convert == RULES and (self.review or self.rate):
            raise PlanError("review and rate belong to a conversion by a provider: name it too")
        if len(self.annotate) == 1:
            raise PlanError("one annotator proves little; name two or more, or none")
        if len(set(self.annotate)) < len(self.annotate):
            raise PlanError(f"annotators named twice: {', '.join(self.annotate)}")
        for source in self.sources:
            if source.benchmark not in BENCHMARKS:
                known = ", ".join(BENCHMARKS)
                raise PlanError(f"no benchmark is called {source.benchmark!r}; there are {known}")
            if source.n is not None and source.n < 1:
                raise PlanError(f"{source.benchmark}: n is {source.n}; take 1 or more")
            if source.open_metric is not None and source.open_metric not in OPEN_METRICS:
                known = ", ".join(OPEN_METRICS)
                raise PlanError(
                    f"{source.benchmark}: unknown open_metric {source.open_metric!r}; use {known}"
                )
        names = [s.made_dataset.name for s in self.sources if s.benchmark != VMCBENCH]
        for name in names:
            if names.count(name) > 1:
                raise PlanError(f"two sources make a dataset {name!r}; give one another `dataset`")
        if VMCBENCH in {s.benchmark for s in self.sources} and not names:
            raise PlanError(
                "vmcbench has options alone: add the open benchmarks that it was made from"
            )

    def fingerprint(self) -> dict[str, Any]:
        """Return what a build must have in common with the one that it goes on with.

        Counts may grow and annotators may be added, so they are not in it.
        """
        return {
            "seed": self.seed,
            "options": self.options,
            "convert": self.convert,
            "review": self.review,
            "rate": self.rate,
            "sources": {
                source.made_dataset.name: {
                    key: value
                    for key, value in asdict(source).items()
                    if key in ("benchmark", "path", "columns", "open_metric")
                }
                for source in self.sources
            },
        }


def plan_of(table: Mapping[str, Any], base: Path) -> Plan:
    """Read a plan from what a TOML file holds; paths are relative to ``base``.

    Raises:
        PlanError: an unknown name or a value of the wrong kind.
    """
    _known(table, _TOP, "the file")
    preset = table.get("preset")
    if preset is not None and preset not in PRESETS:
        raise PlanError(f"unknown preset {preset!r}; there is {', '.join(PRESETS)}")
    counts = PRESETS[preset] if preset else {}
    entries = table.get("sources")
    if not isinstance(entries, Mapping):
        raise PlanError("no [sources.NAME] table")
    sources = []
    for name, entry in entries.items():
        if not isinstance(entry, Mapping):
            raise PlanError(f"[sources.{name}] must be a table with a path")
        _known(entry, _SOURCE, f"[sources.{name}]")
        benchmark = entry.get("benchmark", name)
        if "path" not in entry:
            raise PlanError(f"[sources.{name}] has no path")
        try:
            sources.append(
                SourcePlan(
                    **{
                        **entry,
                        "benchmark": benchmark,
                        "path": str(base / entry["path"]),
                        "images": str(base / entry["images"]) if "images" in entry else None,
                        "n": entry.get("n", counts.get(benchmark)),
                    }
                )
            )
        except TypeError as error:
            raise PlanError(f"[sources.{name}]: {error}") from error
    annotate = table.get("annotate", ())
    return Plan(
        name=str(table.get("name", "suite")),
        sources=tuple(sources),
        seed=_whole(table, "seed", 0),
        options=_whole(table, "options", 4),
        convert=str(table.get("convert", RULES)),
        review=_name(table, "review"),
        rate=_name(table, "rate"),
        annotate=(annotate,) if isinstance(annotate, str) else tuple(annotate),
    )


def _known(table: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(table.keys() - known)
    if unknown:
        raise PlanError(f"{where}: unknown {unknown[0]!r}; known are {', '.join(sorted(known))}")


def _name(table: Mapping[str, Any], name: str) -> str | None:
    value = table.get(name)
    return None if value is None else str(value)


def _whole(table: Mapping[str, Any], name: str, default: int) -> int:
    value = table.get(name, default)
    if type(value) is not int:
        raise PlanError(f"{name} is {value!r}; it must be a whole number")
    return value
