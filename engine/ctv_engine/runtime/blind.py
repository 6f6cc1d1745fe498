"""What a checkpoint answers when it does not see the picture, or the question, or either.

The closed form, prompt and scoring of a run; only what is hidden differs. A hidden picture is a
uniform grey one of the same size, so that the prompt keeps its form and its number of image tokens
and the model is not asked in a way that it was never trained for. A hidden question leaves out its
line: the options and the instruction to give a letter remain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from ctv_engine.runtime.answering import (
    PROBE_ITEMS,
    WorkerSettings,
    closed_result,
    on_device,
    probe_questions,
    question,
    silence,
)
from ctv_engine.runtime.messages import Batch, ItemResult
from ctv_engine.runtime.plan import plan
from ctv_engine.suite import Item, Suite, closed_text

if TYPE_CHECKING:
    from ctv_engine.models.cached_images import Picture
    from ctv_engine.models.inputs import Question
    from ctv_engine.models.transformers_adapter import TransformersAdapter

Way = Literal["everything", "no-image", "no-question", "options-only"]
WAYS: tuple[Way, ...] = ("everything", "no-image", "no-question", "options-only")
GREY = (128, 128, 128)


@dataclass(frozen=True, slots=True)
class BlindResults:
    """One way's results: of every item that has options, in the order of the batches."""

    way: Way
    results: tuple[ItemResult, ...]


def ask_blind(
    checkpoint: Path,
    suite: Suite,
    settings: WorkerSettings,
    rows: int,
    *,
    base: Path | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Iterator[BlindResults]:
    """Answer a suite's closed form with everything, and with parts of it hidden.

    Args:
        checkpoint: a directory that can be loaded.
        suite: a paired suite; see :func:`~ctv_engine.runtime.verify.sample`.
        settings: device, type and limits as in a run.
        rows: the most rows of a batch, as in a run.
        base: the base model of an adapter.
        tell: takes what the self-check has to say.

    Raises:
        CheckpointError: the checkpoint can't be loaded, or needs more memory than there is.
        LetterError: a letter is not one token.
    """
    import torch

    from ctv_engine.models.loading import CheckpointError
    from ctv_engine.models.self_check import self_check
    from ctv_engine.models.trace import Trace
    from ctv_engine.models.transformers_adapter import TransformersAdapter

    silence()
    adapter = TransformersAdapter(
        on_device(settings.device), settings.dtype, settings.processor, slots=rows
    )
    adapter.load(checkpoint, base)
    try:
        batches = _batches(adapter, suite, settings.batch_tokens, rows)
        if batches:
            probe = probe_questions(batches[0].part(slice(0, PROBE_ITEMS)))
            for note in [*adapter.notes, *self_check(adapter, probe)]:
                tell(note)
        with TemporaryDirectory(prefix="ctv-tui-grey-") as folder:
            grey = GreyPictures(Path(folder))
            for way in WAYS:
                results: list[ItemResult] = []
                for batch in batches:
                    asked = [_asked(batch, place, way, grey) for place in range(len(batch.items))]
                    answers = adapter.closed(adapter.prepare(asked, len(asked)), Trace())
                    results += map(closed_result, batch.items, answers)
                yield BlindResults(way, tuple(results))
    except torch.OutOfMemoryError as error:
        raise CheckpointError(
            f"{checkpoint.name} ran out of memory with {rows} rows in a batch; make batches smaller"
        ) from error


def _batches(
    adapter: TransformersAdapter, suite: Suite, token_budget: int, rows: int
) -> tuple[Batch, ...]:
    """Plan as a run does; with parts hidden no prompt is longer than with everything."""
    datasets = {dataset.name: dataset for dataset in suite.datasets}
    lengths: dict[tuple[str, str], int] = {}
    for item in suite.items:
        if item.gold_index is not None:
            batch = Batch(0, (item,), (datasets[item.dataset],), suite.directory)
            (length,) = adapter.inputs.lengths([question(batch, item, batch.datasets[0], "closed")])
            lengths[item.dataset, item.key] = length or 1
    return plan(suite, "closed", lengths, token_budget=token_budget, max_rows=rows)


def _asked(batch: Batch, place: int, way: Way, grey: GreyPictures) -> Question:
    item = batch.items[place]
    asked = question(batch, item, batch.datasets[place], "closed")
    if way in ("no-question", "options-only"):
        asked = replace(asked, text=options_text(item))
    if way in ("no-image", "options-only"):
        asked = replace(asked, picture=grey.instead_of(asked.picture))
    return asked


def options_text(item: Item) -> str:
    """Return the closed form without its question."""
    return closed_text(replace(item, question="")).removeprefix("\n")


@dataclass
class GreyPictures:
    """Uniform pictures in ``directory``, one of each size that was asked for."""

    directory: Path
    _by_size: dict[tuple[int, int], Picture] = field(default_factory=dict)

    def instead_of(self, picture: Picture) -> Picture:
        """Return a grey picture of the same size, or the picture itself if it can't be read.

        The item then fails in this way as in all others, with the same reason.
        """
        from PIL import Image

        from ctv_engine.models.cached_images import Picture

        try:
            with Image.open(picture.path) as image:
                size = image.size
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return picture
        if size not in self._by_size:
            path = self.directory / f"{size[0]}x{size[1]}.png"
            Image.new("RGB", size, GREY).save(path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            self._by_size[size] = Picture(path, digest)
        return self._by_size[size]
