"""A shortcut that does not answer as the plain path does is found, named and not used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import asking
import pytest
import torch
from asking import loaded, logprobs, prove, question, words

from ctv_engine.models import self_check as self_check_module
from ctv_engine.models.forward import Forward
from ctv_engine.models.input_cache import InputCache
from ctv_engine.models.inputs import Question
from ctv_engine.models.prefix import Part, prefill_shared
from ctv_engine.models.self_check import difference
from ctv_engine.models.transformers_adapter import Abilities, TransformersAdapter
from ctv_engine.suite import Suite

torch.set_num_threads(1)

NEW_TOKENS = 6
KIND = "LlavaForConditionalGeneration"


@pytest.fixture(scope="module")
def closed_questions(suite: Suite) -> list[Question]:
    return asking.closed_questions(suite)


@pytest.fixture(scope="module")
def open_questions(suite: Suite) -> list[Question]:
    return asking.open_questions(suite, NEW_TOKENS)


@pytest.fixture(scope="module")
def probe(closed_questions: list[Question], open_questions: list[Question]) -> list[Question]:
    return asking.probe_of(closed_questions, open_questions)


@pytest.fixture(scope="module")
def reference(
    checkpoints: list[Path], closed_questions: list[Question], open_questions: list[Question]
) -> tuple[torch.Tensor, list[tuple[str, int, int]]]:
    """What the plain path answers; test_adapter compares it with transformers itself."""
    adapter = loaded(checkpoints[0])
    return (
        logprobs(asking.closed(adapter, closed_questions, 1)),
        words(asking.opened(adapter, open_questions, 1)),
    )


def check_answers(
    adapter: TransformersAdapter,
    closed_questions: Sequence[Question],
    open_questions: Sequence[Question],
    reference: tuple[torch.Tensor, list[tuple[str, int, int]]],
) -> None:
    """Whatever was found out, every answer is the plain path's."""
    scored, answers = asking.paired(adapter, closed_questions, open_questions, 4)
    for found, opened in (
        (scored, answers),
        (
            asking.closed(adapter, closed_questions, 4),
            asking.opened(adapter, open_questions, 4),
        ),
    ):
        assert (logprobs(found) - reference[0]).abs().max() < 1e-5
        assert words(opened) == reference[1]


def count_generate(adapter: TransformersAdapter) -> Callable[[], int]:
    """Count the calls of the library's own ``generate`` from now on."""
    calls: list[int] = []
    real = adapter.model.generate

    def generate(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return real(*args, **kwargs)

    adapter.model.generate = generate
    return lambda: len(calls)


# --- what holds ---------------------------------------------------------------------------------


def test_it_passes_on_a_model_that_batches_well(
    checkpoints: list[Path],
    probe: list[Question],
    closed_questions: list[Question],
    open_questions: list[Question],
    reference: Any,
) -> None:
    adapter = loaded(checkpoints[0])
    assert adapter.abilities == Abilities()
    assert prove(adapter, probe) == []
    assert adapter.abilities == Abilities(checked=True, batch=True, share=True, stepwise=True)
    generated = count_generate(adapter)
    check_answers(adapter, closed_questions, open_questions, reference)
    assert generated() == 0


def test_inputs_that_were_prepared_before_do_not_fit_any_more(
    checkpoints: list[Path], probe: list[Question]
) -> None:
    adapter = loaded(checkpoints[0])
    before = adapter.epoch
    prove(adapter, probe)
    assert adapter.epoch > before


def test_one_item_proves_no_more_than_it_can(
    checkpoints: list[Path], closed_questions: list[Question]
) -> None:
    adapter = loaded(checkpoints[0])
    adapter.inputs.tokenizer.padding_side = "right"
    assert prove(adapter, closed_questions[:1]) == []
    assert adapter.abilities == Abilities(checked=True, batch=True)


def test_a_broken_picture_among_the_items_is_left_out(
    checkpoints: list[Path], probe: list[Question], tmp_path: Path
) -> None:
    broken = [
        question(tmp_path / "missing.png", "What?", 2),
        question(tmp_path / "missing.png", "What?", cap=4),
    ]
    adapter = loaded(checkpoints[0])
    assert prove(adapter, [*broken, *probe]) == []
    assert adapter.abilities == Abilities(checked=True, batch=True, share=True, stepwise=True)


def test_nothing_but_broken_pictures_proves_nothing(
    checkpoints: list[Path], probe: list[Question], tmp_path: Path
) -> None:
    adapter = loaded(checkpoints[0])
    assert prove(adapter, [question(tmp_path / "missing.png", "What?", 2)] * 2) == []
    assert adapter.abilities == Abilities()
    assert prove(adapter, probe) == []
    assert adapter.abilities.batch


def test_a_model_that_answers_nan_proves_nothing_for_the_next(
    checkpoints: list[Path], probe: list[Question]
) -> None:
    adapter = loaded(checkpoints[0])

    def spoil(_: Any, __: Any, output: Any) -> None:
        output.logits[:] = torch.nan

    hook = adapter.model.register_forward_hook(spoil)
    assert prove(adapter, probe) == []
    assert adapter.abilities == Abilities()
    hook.remove()
    assert prove(adapter, probe) == []
    assert adapter.abilities.batch


# --- what does not ------------------------------------------------------------------------------


def test_wrong_batches(
    checkpoints: list[Path],
    probe: list[Question],
    closed_questions: list[Question],
    open_questions: list[Question],
    reference: Any,
) -> None:
    adapter = loaded(checkpoints[0])
    adapter.inputs.tokenizer.padding_side = "right"
    adapter.abilities.batch = True
    wrong = logprobs(asking.closed(adapter, closed_questions, 24)) - reference[0]
    assert wrong.abs().max() > 0.1
    (note,) = prove(adapter, probe)
    for part in (KIND, "padded batch differ by up to", "one by one"):
        assert part in note
    assert adapter.abilities == Abilities(checked=True, stepwise=True)
    before = adapter.work.copy()
    check_answers(adapter, closed_questions, open_questions, reference)
    done = adapter.work.since(before)
    assert done.processed_tokens == done.prompt_tokens, "no padding anywhere"


def sabotage_extend(monkeypatch: pytest.MonkeyPatch, spoil: Callable[..., torch.Tensor]) -> None:
    """Spoil the logits of every step of the decode loop; prefills behind a prefix are left."""
    real = Forward.extend

    def extend(self: Forward, rows: Any, ids: Any, mask: Any, positions: Any = None) -> Any:
        logits = real(self, rows, ids, mask, positions)
        return spoil(logits) if positions is None else logits

    monkeypatch.setattr(Forward, "extend", extend)


def last_row_nan(logits: torch.Tensor) -> torch.Tensor:
    return torch.cat([logits[:-1], torch.nan * logits[-1:]])


@pytest.mark.parametrize(
    "spoil",
    [lambda logits: logits.flip(0), lambda logits: 1.5 * logits, last_row_nan],
    ids=["rows mixed up", "sharper", "NaN"],
)
def test_a_wrong_decode_loop(
    checkpoints: list[Path],
    probe: list[Question],
    closed_questions: list[Question],
    open_questions: list[Question],
    reference: Any,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[..., torch.Tensor],
) -> None:
    sabotage_extend(monkeypatch, spoil)
    adapter = loaded(checkpoints[0])
    (note,) = prove(adapter, probe)
    for part in (KIND, "its own decode loop differ by up to", "`generate`"):
        assert part in note
    assert adapter.abilities == Abilities(checked=True, batch=True, share=True)
    generated = count_generate(adapter)
    check_answers(adapter, closed_questions, open_questions, reference)
    assert generated() == 2 * -(-len(open_questions) // 4), "for pairs and for open questions alone"


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize(
    "spoil",
    [lambda logits: logits.flip(0), lambda logits: logits * torch.nan],
    ids=["rows mixed up", "NaN"],
)
def test_a_wrong_shared_prefix(
    checkpoints: list[Path],
    probe: list[Question],
    closed_questions: list[Question],
    open_questions: list[Question],
    reference: Any,
    monkeypatch: pytest.MonkeyPatch,
    part: int,
    spoil: Callable[..., torch.Tensor],
) -> None:
    def sabotaged(*args: Any) -> list[Part]:
        parts = prefill_shared(*args)
        spoiled = Part(parts[part].rows, spoil(parts[part].logits), parts[part].state)
        return [*parts[:part], spoiled, *parts[part + 1 :]]

    monkeypatch.setattr(self_check_module, "prefill_shared", sabotaged)
    adapter = loaded(checkpoints[0])
    (note,) = prove(adapter, probe)
    for words_ in (KIND, "behind a shared prefix differ by up to", "prefilled whole"):
        assert words_ in note
    assert adapter.abilities == Abilities(checked=True, batch=True, stepwise=True)
    before = adapter.work.copy()
    check_answers(adapter, closed_questions, open_questions, reference)
    assert adapter.work.since(before).shared_tokens == 0


def test_a_processor_that_looks_at_the_company_of_a_picture(
    checkpoints: list[Path],
    probe: list[Question],
    closed_questions: list[Question],
    open_questions: list[Question],
    tmp_path: Path,
) -> None:
    adapter = loaded(checkpoints[0], cache=InputCache(tmp_path, 10**9))
    real = type(adapter.inputs.images.real).__call__

    class Envious(type(adapter.inputs.images.real)):  # type: ignore[misc]
        def __call__(self, images: Any, **kwargs: Any) -> Any:
            made = real(self, images, **kwargs)
            made["pixel_values"] = made["pixel_values"] * len(made["pixel_values"])
            return made

    adapter.inputs.images.real.__class__ = Envious
    note, other = prove(adapter, probe)
    assert "inputs put together picture by picture differ" in note
    assert "pixel_values" in note and "the input cache is not used" in note
    assert "items are run one by one" in other, "its batches are not what single items are"
    assert not adapter.inputs.uses_cache
    before = adapter.work.copy()
    asking.closed(adapter, closed_questions, 4)
    done = adapter.work.since(before)
    assert (done.images_decoded, done.images_reused) == (len(closed_questions), 0)
    made = adapter.inputs.build(closed_questions[:2], None).inputs["pixel_values"]
    alone = adapter.inputs.build(closed_questions[:1], None).inputs["pixel_values"]
    assert torch.equal(made[0], 2 * alone[0]), "as the processor itself would have it"


# --- what counts as equal -----------------------------------------------------------------------


def test_differences_are_of_likely_tokens() -> None:
    reference = torch.tensor([[0.0, 0.0, -30.0], [0.0, -1.0, -2.0]])
    assert difference(reference, reference) == 0.0
    assert difference(reference + 5.0, reference) == pytest.approx(0.0, abs=1e-6)
    unlikely = reference.clone()
    unlikely[0, 2] = -40.0  # both are practically zero
    assert difference(unlikely, reference) == pytest.approx(0.0, abs=1e-6)
    likely = reference.clone()
    likely[0, 1] = 0.5
    shift = torch.log_softmax(likely[0], -1) - torch.log_softmax(reference[0], -1)
    assert difference(likely, reference) == pytest.approx(float(shift[:2].abs().max()))
    assert difference(reference * torch.nan, reference) == torch.inf
