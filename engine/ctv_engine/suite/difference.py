"""What two suites ask differently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ctv_engine.suite.items import Item, Suite

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """Items by (dataset, key) that only one suite has, or that ask otherwise, and settings.

    ``changed`` names the fields that differ, ``settings`` (dataset and name of the setting, or
    ``suite`` and name) both values.
    """

    added: tuple[Key, ...]
    removed: tuple[Key, ...]
    changed: Mapping[Key, tuple[str, ...]]
    settings: Mapping[tuple[str, str], tuple[Any, Any]]

    @property
    def is_none(self) -> bool:
        """Whether both ask the same."""
        return not (self.added or self.removed or self.changed or self.settings)


def difference(old: Suite, new: Suite) -> Difference:
    """Compare two suites, item by item; where items lie in the files does not count."""
    before = {(item.dataset, item.key): item for item in old.items}
    after = {(item.dataset, item.key): item for item in new.items}
    changed = {
        key: names
        for key in before.keys() & after.keys()
        if (names := _changed(before[key], after[key]))
    }
    return Difference(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=dict(sorted(changed.items())),
        settings=_settings(old, new),
    )


_SAYS_WHERE = {"dataset", "key", "image"}


def _changed(one: Item, two: Item) -> tuple[str, ...]:
    return tuple(
        field.name
        for field in fields(Item)
        if field.name not in _SAYS_WHERE and getattr(one, field.name) != getattr(two, field.name)
    )


def _settings(old: Suite, new: Suite) -> dict[tuple[str, str], tuple[Any, Any]]:
    found: dict[tuple[str, str], tuple[Any, Any]] = {}
    for name in ("name", "kind"):
        if getattr(old, name) != getattr(new, name):
            found["suite", name] = (getattr(old, name), getattr(new, name))
    before = {dataset.name: dataset for dataset in old.datasets}
    after = {dataset.name: dataset for dataset in new.datasets}
    for dataset in sorted(before.keys() & after.keys()):
        for field in fields(before[dataset]):
            pair = (getattr(before[dataset], field.name), getattr(after[dataset], field.name))
            if pair[0] != pair[1]:
                found[dataset, field.name] = pair
    return found
