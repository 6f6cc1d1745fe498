"""From one checkpoint to the next: what is not done again."""

from __future__ import annotations

from bench.clock import cpu_seconds, interleaved
from bench.report import Result
from bench.stage import Stage, answered
from ctv_engine.models.answers import ClosedAnswer
from ctv_engine.models.input_cache import InputCache
from ctv_engine.models.inputs import InputBuilder
from ctv_engine.models.processors import load_processor
from ctv_engine.models.trace import Trace
from ctv_engine.models.transformers_adapter import TransformersAdapter
from ctv_engine.models.work import Work
from ctv_engine.runtime.answering import questions

SEEDS = (1, 2, 3)


def pictures_decoded(stage: Stage, *, cache: bool) -> list[int]:
    """Return how many pictures each of three checkpoints' closed evaluations decoded.

    The first one's include those whose prompts had to be measured for the plan.
    """
    worker = stage.worker(cache=cache)
    lengths, measured = stage.measured(worker)
    counts = []
    for seed in SEEDS:
        batches = stage.plan("closed", lengths)
        done = [
            answered(worker, stage.unit(number, seed, "closed", batch))
            for number, batch in enumerate(batches, start=1)
        ]
        counts.append(sum(one.work.images_decoded for one in done))
    counts[0] += measured.work.images_decoded
    return counts


def first_against_later(stage: Stage) -> list[Result]:
    """Count the pictures that are decoded per checkpoint, with the input cache and without."""
    results = []
    for cache in (True, False):
        first, second, third = pictures_decoded(stage, cache=cache)
        name = f"pictures decoded, {'input cache' if cache else 'no cache'}"
        bar = 0.0 if cache else None
        results += [
            Result(name, stage.config, first, "pictures", "first checkpoint"),
            Result(name, stage.config, max(second, third), "pictures", "each later one", bar),
        ]
    return results


def inputs_from_cache(stage: Stage, rounds: int) -> list[Result]:
    """Time the making of all closed inputs: cold cache, warm cache, no cache."""
    processor = load_processor(stage.checkpoint()).processor
    asked = questions(stage.whole, ("closed",))
    cache = InputCache(stage.home / "inputs", 2**30)
    warm = InputBuilder(processor, cache, Work())
    plain = InputBuilder(processor, None, Work())
    cold_s = cpu_seconds(lambda: warm.build(asked, None))
    work = warm.images.work
    assert (work.images_decoded, work.images_reused) == (len(asked), 0)
    kept, made = warm.build(asked, None).inputs, plain.build(asked, None).inputs
    assert all(kept[name].equal(made[name]) for name in made) and kept.keys() == made.keys()
    timed = interleaved(
        {"warm": lambda: warm.build(asked, None), "plain": lambda: plain.build(asked, None)}, rounds
    )
    assert work.images_decoded == len(asked)
    against = "decoding and resizing again"
    cold = cold_s / min(timed.seconds["plain"])
    return [
        Result("inputs, later checkpoints", stage.config, timed.ratio("warm", "plain"), "x",
               against),
        Result("inputs, first checkpoint", stage.config, cold, "x", against),
    ]  # fmt: skip


def swap_against_fresh_load(stage: Stage, rounds: int) -> list[Result]:
    """Time a swap of weights against a new adapter, and count weights that moved."""
    resident = stage.adapter(1)
    asked = questions(stage.whole.part(slice(2)), ("closed",))

    def scores(adapter: TransformersAdapter) -> list[tuple[float, ...]]:
        answers = adapter.closed(adapter.prepare(asked, 1), Trace())
        return [a.score.option_logprobs for a in answers if isinstance(a, ClosedAnswer)]

    first = scores(resident)
    before = _addresses(resident)
    resident.load(stage.checkpoint(2))
    fresh = stage.adapter(2)
    assert scores(resident) == scores(fresh) != first, "a swap must be bit-equal to a fresh load"
    moved = [name for name, place in _addresses(resident).items() if place != before[name]]
    sizes = {name: p.nbytes for name, p in resident.model.named_parameters()}
    turn = [1]

    def swap() -> None:
        resident.load(stage.checkpoint(turn[0]))
        turn[0] = 3 - turn[0]

    timed = interleaved({"swap": swap, "fresh": lambda: stage.adapter(2)}, rounds)
    against = "a fresh load"
    return [
        Result("in-place swap", stage.config, timed.ratio("swap", "fresh"), "x", against),
        Result("in-place swap", stage.config, sum(sizes[name] for name in moved), "B",
               f"of {sum(sizes.values()):,} bytes of weights at new addresses"),
    ]  # fmt: skip


def _addresses(adapter: TransformersAdapter) -> dict[str, int]:
    return {name: p.data_ptr() for name, p in adapter.model.named_parameters()}
