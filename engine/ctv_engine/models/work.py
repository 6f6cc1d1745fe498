"""Counts of the work that was done: they mean the same on every machine. Without torch."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace


@dataclass
class Work:
    """What a worker did.

    ``forwards`` are calls of the model. ``processed_tokens`` are the positions that prefills put
    through the language part, padding included; ``prompt_tokens`` those of them that were real.
    ``shared_tokens`` are prompt tokens that were taken from another row's prefill instead.
    ``row_steps`` are rows of decode forwards. ``images_decoded`` pictures were read and resized,
    ``images_reused`` came from the input cache or were still at hand.
    """

    forwards: int = 0
    prompt_tokens: int = 0
    processed_tokens: int = 0
    shared_tokens: int = 0
    row_steps: int = 0
    images_decoded: int = 0
    images_reused: int = 0

    def since(self, earlier: Work) -> Work:
        """Return what was done after ``earlier`` was taken."""
        names = [one.name for one in fields(self)]
        return Work(**{name: getattr(self, name) - getattr(earlier, name) for name in names})

    def add(self, more: Work) -> None:
        """Count what was done elsewhere, too."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(more, one.name))

    def copy(self) -> Work:
        """Return the counts as they are now."""
        return replace(self)
