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

_KIND_OF: Mapping[str, type] = {
    "seed": int, "options": int, "n": int, "max_new_tokens": int, "sources": dict,
    "providers": dict, "columns": dict,
}  # fmt: skip
"""What a setting must be, where that is not a text."""
_KINDS: Mapping[type, str] = {
    int: "it must be a whole number",
    str: "it must be a text",
    dict: "it must be a table",
}


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
            for name in ("n", "max_new_tokens"):
                value = getattr(source, name)
                if value is not None and value < 1:
                    raise PlanError(f"{source.benchmark}: {name} is {value}; take 1 or more")
            if source.open_metric is not None and source.open_metric not in OPEN_METRICS:
                known = ", ".join(OPEN_METRICS)
                raise PlanError(
                    f"{source.benchmark}: unknown open_metric {source.open_metric!r}; use {known}"
                )
        names = [s.made_dataset.name for s in self.sources if s.benchmark != VMCBENCH]
        for name in names:
            if name == "macro":
                raise PlanError("the dataset name 'macro' is reserved; give it another `dataset`")
            if names.count(name) > 1:
                raise PlanError(f"two sources make a dataset {name!r}; give one another `dataset`")
        if VMCBENCH in {s.benchmark for s in self.sources} and not names:
            raise PlanError(
                "vmcbench has options alone: add the open benchmarks that it was made from"
            )

    def fingerprint(self) -> dict[str, Any]:
        """Return what a build must have in common with the one that it goes on with.

        Counts may grow and annotators may be added, so they are not in it; sources may be added.
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
    check_table(table)
    preset = table.get("preset")
    if preset is not None and preset not in PRESETS:
        raise PlanError(f"unknown preset {preset!r}; there is {', '.join(PRESETS)}")
    counts = PRESETS[preset] if preset else {}
    entries = table.get("sources")
    if entries is None:
        raise PlanError("no [sources.NAME] table")
    sources = []
    for name, entry in entries.items():
        benchmark = entry.get("benchmark", name)
        if "path" not in entry:
            raise PlanError(f"[sources.{name}] has no path")
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
    annotate = table.get("annotate", ())
    return Plan(
        name=str(table.get("name", "suite")),
        sources=tuple(sources),
        seed=table.get("seed", 0),
        options=table.get("options", 4),
        convert=str(table.get("convert", RULES)),
        review=table.get("review"),
        rate=table.get("rate"),
        annotate=(annotate,) if isinstance(annotate, str) else tuple(annotate),
    )


def check_table(table: Mapping[str, Any]) -> None:
    """Check the names and the kinds of the values in what a TOML file holds.

    Raises:
        PlanError: an unknown name or a value of the wrong kind.
    """
    _check(table, _TOP, "the file", "")
    if table.get("kind", "paired") != "paired":
        raise PlanError(f"kind is {table['kind']!r}; what is built is always 'paired'")
    for name, entry in table.get("sources", {}).items():
        if not isinstance(entry, dict):
            raise PlanError(f"[sources.{name}] must be a table with a path")
        _check(entry, _SOURCE, f"[sources.{name}]", f"sources.{name}.")
        for part, column in entry.get("columns", {}).items():
            if not isinstance(column, str):
                raise PlanError(f"sources.{name}.columns.{part} is {column!r}; {_KINDS[str]}")


def _check(table: Mapping[str, Any], known: set[str], where: str, before: str) -> None:
    unknown = sorted(table.keys() - known)
    if unknown:
        raise PlanError(f"{where}: unknown {unknown[0]!r}; known are {', '.join(sorted(known))}")
    for name, value in table.items():
        kind = _KIND_OF.get(name, str)
        # True is an int to isinstance.
        fits = type(value) is int if kind is int else isinstance(value, kind)
        if name == "annotate" and isinstance(value, (list, tuple)):
            fits = all(isinstance(one, str) for one in value)
        if not fits:
            raise PlanError(f"{before}{name} is {value!r}; {_KINDS[kind]}")
