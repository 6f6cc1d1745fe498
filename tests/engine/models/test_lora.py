"""Adapters on a resident base, against peft's own loading of each."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asking
import families
import pytest
import torch
from asking import logprobs, prove, question, words
from safetensors.torch import load_file, save_file

from ctv_engine.models.inputs import Question
from ctv_engine.models.loading import CheckpointError
from ctv_engine.models.transformers_adapter import TransformersAdapter

peft = pytest.importorskip("peft")
torch.set_num_threads(1)

WEIGHTS = "adapter_model.safetensors"
NEW_TOKENS = 5
SOME: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lora")


@pytest.fixture(scope="module")
def base(home: Path) -> Path:
    return families.build_family("llava", home / "base")


@pytest.fixture(scope="module")
def questions(home: Path) -> list[Question]:
    pictures = families.make_pictures(home / "pictures")
    return [question(p, f"What colour is square {n}?", 4, 0) for n, p in enumerate(pictures)]


def save_adapter(base: Path, directory: Path, seed: int = 0, config: Any = None) -> Path:
    """Save an adapter as a training run does, with weights unlike those of its start."""
    from transformers import AutoModelForImageTextToText

    torch.manual_seed(seed)
    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
    tuned = peft.get_peft_model(model, config or peft.LoraConfig(**SOME))
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    tuned.save_pretrained(directory)
    step = {"global_step": 10 * (seed + 1), "save_steps": 10, "max_steps": 10**6}
    (directory / "trainer_state.json").write_text(json.dumps(step))
    return directory


Answers = tuple[list[list[float]], list[str]]


def answers(adapter: TransformersAdapter, questions: list[Question]) -> Answers:
    open_questions = asking.with_cap(questions, NEW_TOKENS)
    prove(adapter, asking.both_forms(questions[:3], open_questions[:3]))
    assert adapter.abilities.batch
    closed = asking.closed(adapter, questions, len(questions))
    opened = asking.opened(adapter, open_questions, len(questions))
    return logprobs(closed).tolist(), [text for text, *_ in words(opened)]


def as_peft_loads(base: Path, directory: Path, questions: list[Question]) -> Answers:
    """Answer with the model that peft makes of a base and an adapter."""
    from transformers import AutoModelForImageTextToText

    adapter = loaded(base)
    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
    tuned = peft.PeftModel.from_pretrained(model, directory)
    generation_config = adapter.model.generation_config
    adapter._replace(tuned.get_base_model().eval())
    adapter.model.generation_config = generation_config
    return answers(adapter, questions)


def same(ours: Answers, reference: Answers) -> bool:
    """Compare to the last digits, in which kernels differ by how memory is aligned."""
    closed = torch.tensor(ours[0]) - torch.tensor(reference[0])
    return bool(closed.abs().max() < 1e-5) and ours[1] == reference[1]


def loaded(directory: Path, base: Path | None = None) -> TransformersAdapter:
    adapter = TransformersAdapter(torch.device("cpu"))
    adapter.load(directory, base)
    return adapter


def base_addresses(adapter: TransformersAdapter) -> set[int]:
    """Return where the base model's parameters lie; the adapter's names tell them from its own."""
    adapters = ("lora_", "modules_to_save", "ia3_", "hada_")
    return {
        parameter.data_ptr()
        for name, parameter in adapter.model.named_parameters()
        if not any(part in name for part in adapters)
    }


def adapter_addresses(adapter: TransformersAdapter) -> dict[str, int]:
    return {n: p.data_ptr() for n, p in adapter.model.named_parameters() if "lora_" in n}


@pytest.mark.parametrize("family", ["llava", "gemma3", "qwen2_5_vl", "idefics3"])
def test_adapters_are_swapped_on_a_base_that_stays(
    family: str, home: Path, questions: list[Question]
) -> None:
    base = families.build_family(family, home / family / "base")
    first, second = (save_adapter(base, home / family / f"checkpoint-{n}", n) for n in (0, 1))
    adapter = loaded(first, base)
    addresses = (base_addresses(adapter), adapter_addresses(adapter))
    assert all(addresses)
    results = []
    for directory in (second, first):
        adapter.load(directory, base)
        results.append(answers(adapter, questions))
        assert same(results[-1], as_peft_loads(base, directory, questions))
        assert results[-1] == answers(loaded(directory, base), questions)
        assert (base_addresses(adapter), adapter_addresses(adapter)) == addresses
    plain = answers(loaded(base), questions)
    assert results[0] != results[1] != plain != results[0]


OTHER_FORMS: list[tuple[str, Any]] = [
    ("another rank", peft.LoraConfig(**{**SOME, "r": 2})),
    ("another scale", peft.LoraConfig(**{**SOME, "lora_alpha": 32})),
    ("other layers", peft.LoraConfig(**{**SOME, "target_modules": ["k_proj", "down_proj"]})),
    ("whole modules", peft.LoraConfig(**SOME, modules_to_save=["multi_modal_projector"])),
    ("the head as well", peft.LoraConfig(**SOME, modules_to_save=["lm_head"])),
    ("DoRA", peft.LoraConfig(**SOME, use_dora=True)),
    ("every linear layer", peft.LoraConfig(r=2, target_modules="all-linear")),
    ("rank-stabilised", peft.LoraConfig(**SOME, use_rslora=True)),
    ("IA3", peft.IA3Config(target_modules=["k_proj", "up_proj"], feedforward_modules=["up_proj"])),
    ("LoHa", peft.LoHaConfig(r=2, target_modules=["q_proj"])),
]


@pytest.mark.parametrize("config", [c for _, c in OTHER_FORMS], ids=[n for n, _ in OTHER_FORMS])
def test_an_adapter_of_another_form_is_built_anew_on_the_same_base(
    base: Path, tmp_path: Path, questions: list[Question], config: Any
) -> None:
    usual = save_adapter(base, tmp_path / "checkpoint-1", 1)
    other = save_adapter(base, tmp_path / "checkpoint-2", 2, config)
    again = save_adapter(base, tmp_path / "checkpoint-3", 3, config)
    adapter = loaded(usual, base)
    at = base_addresses(adapter)
    for directory in (other, again, usual):
        adapter.load(directory, base)
        assert same(answers(adapter, questions), as_peft_loads(base, directory, questions))
        assert at <= base_addresses(adapter)


@pytest.mark.parametrize("bias", ["all", "lora_only"])
def test_after_an_adapter_that_changes_the_bases_biases_the_base_is_read_anew(
    base: Path, tmp_path: Path, questions: list[Question], bias: Any
) -> None:
    usual = save_adapter(base, tmp_path / "checkpoint-1", 1)
    other = save_adapter(base, tmp_path / "checkpoint-2", 2, peft.LoraConfig(**SOME, bias=bias))
    assert any(key.endswith("bias") for key in load_file(other / WEIGHTS))
    adapter = loaded(usual, base)
    for directory in (other, usual, other):
        adapter.load(directory, base)
        assert same(answers(adapter, questions), as_peft_loads(base, directory, questions))


def test_between_adapters_and_whole_checkpoints(
    base: Path, tmp_path: Path, questions: list[Question]
) -> None:
    directory = save_adapter(base, tmp_path / "checkpoint-1")
    whole = families.build_family("llava", tmp_path / "checkpoint-2", seed=7)
    adapter = loaded(whole)
    for turn in ((directory, base), (whole, None), (directory, base), (base, None)):
        adapter.load(*turn)
        assert answers(adapter, questions) == answers(loaded(*turn), questions)


def test_a_base_that_was_written_anew_is_read_anew(
    tmp_path: Path, questions: list[Question]
) -> None:
    base = families.build_family("llava", tmp_path / "base")
    directory = save_adapter(base, tmp_path / "checkpoint-1")
    adapter = loaded(directory, base)
    before = answers(adapter, questions)
    families.build_family("llava", base, seed=3)
    adapter.load(directory, base)
    assert answers(adapter, questions) == answers(loaded(directory, base), questions) != before


def test_the_processor_that_is_saved_with_the_adapter_comes_first(
    base: Path, tmp_path: Path, questions: list[Question]
) -> None:
    directory = save_adapter(base, tmp_path / "checkpoint-1")
    with_bases = answers(loaded(directory, base), questions)
    for path in base.iterdir():
        if path.name.startswith(("token", "processor")):
            shutil.copy(path, directory)
    template = (base / "chat_template.jinja").read_text()
    (directory / "chat_template.jinja").write_text(template.replace("USER", "ASKED"))
    adapter = loaded(directory, base)
    assert "ASKED" in adapter.inputs.processor.chat_template
    assert answers(adapter, questions) != with_bases


def test_keys_as_an_older_transformers_saved_them(
    base: Path, tmp_path: Path, questions: list[Question]
) -> None:
    directory = save_adapter(base, tmp_path / "checkpoint-1")
    expected = answers(loaded(directory, base), questions)
    weights = load_file(directory / WEIGHTS)
    older = {
        key.replace("model.model.language_model.", "model.language_model.model."): value
        for key, value in weights.items()
    }
    assert older.keys() != weights.keys()
    save_file(older, directory / WEIGHTS)
    assert answers(loaded(directory, base), questions) == expected


def test_base_weights_saved_with_the_adapter_do_no_harm_if_they_are_the_bases(
    base: Path, tmp_path: Path, questions: list[Question]
) -> None:
    directory = save_adapter(base, tmp_path / "checkpoint-1")
    expected = answers(loaded(directory, base), questions)
    key = "base_model.model.model.language_model.embed_tokens.weight"
    model = loaded(base).model
    weights = load_file(directory / WEIGHTS)
    embedding = model.get_input_embeddings().weight.clone()
    save_file({**weights, key: embedding}, directory / WEIGHTS)
    assert answers(loaded(directory, base), questions) == expected
    save_file({**weights, key: embedding + 1}, directory / WEIGHTS)
    with pytest.raises(CheckpointError, match=r"unexpected keys: .*embed_tokens"):
        loaded(directory, base)


# --- adapters that can't be evaluated -----------------------------------------------------------


def edit_weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def spoil(directory: Path) -> None:
        weights = {key: value.clone() for key, value in load_file(directory / WEIGHTS).items()}
        change(weights)
        save_file(weights, directory / WEIGHTS)

    return spoil


def edit_config(**changes: object) -> Callable[[Path], None]:
    def spoil(directory: Path) -> None:
        path = directory / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return spoil


def truncate(directory: Path) -> None:
    path = directory / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])


def first(weights: dict[str, torch.Tensor]) -> str:
    return min(weights)


REFUSED: list[tuple[str, Callable[[Path], object], tuple[str, ...]]] = [
    (
        "NaN",
        edit_weights(lambda w: w[first(w)].view(-1)[0].fill_(float("nan"))),
        ("NaN or infinite weights in 1 tensors", "lora_A", "diverged"),
    ),
    (
        "missing tensor",
        edit_weights(lambda w: w.pop(first(w))),
        ("do not fit its config and base", "missing keys", "lora_A"),
    ),
    (
        "tensor too many",
        edit_weights(lambda w: w.update({first(w) + ".more": torch.zeros(2)})),
        ("unexpected keys", ".more"),
    ),
    (
        "tensor of another shape",
        edit_weights(lambda w: w.update({first(w): torch.zeros(3, 5)})),
        ("mismatched keys", "lora_A"),
    ),
    ("another rank than its config's", edit_config(r=8), ("mismatched keys",)),
    ("layers that the base has not", edit_config(target_modules=["wqkv"]), ("wqkv", "base")),
    ("a start that changes the base", edit_config(init_lora_weights="pissa"), ("pissa", "base")),
    ("unknown kind", edit_config(peft_type="NEXT_BIG_THING"), ("can't be put into base",)),
    (
        "prompt tuning",
        edit_config(peft_type="PROMPT_TUNING", num_virtual_tokens=4, task_type="CAUSAL_LM"),
        ("PROMPT_TUNING does not adapt layers",),
    ),
    ("truncated", truncate, ("can't be read",)),
    ("no JSON", lambda d: (d / "adapter_config.json").write_text("{"), ("can't be read",)),
    ("deleted", shutil.rmtree, ("deleted",)),
    ("no weights", lambda d: (d / WEIGHTS).unlink(), ("deleted while it was read",)),
]


@pytest.mark.parametrize(
    ("spoil", "words"), [(s, w) for _, s, w in REFUSED], ids=[name for name, *_ in REFUSED]
)
def test_an_adapter_that_can_not_be_evaluated(
    base: Path,
    tmp_path: Path,
    questions: list[Question],
    spoil: Callable[[Path], object],
    words: tuple[str, ...],
) -> None:
    directory = save_adapter(base, tmp_path / "checkpoint-1", 1)
    good = save_adapter(base, tmp_path / "checkpoint-2", 2)
    spoil(directory)
    for adapter in (TransformersAdapter(torch.device("cpu")), loaded(good, base)):
        with pytest.raises(CheckpointError) as caught:
            adapter.load(directory, base)
        message = str(caught.value)
        assert directory.name in message
        assert "\n" not in message
        for word in words:
            assert word in message
        assert adapter.model is None
        adapter.load(good, base)  # the next one is none the worse for it
        assert answers(adapter, questions[:2]) == answers(loaded(good, base), questions[:2])


def test_a_base_with_nan_weights_is_refused(base: Path, tmp_path: Path) -> None:
    directory = save_adapter(base, tmp_path / "checkpoint-1")
    spoiled = Path(shutil.copytree(base, tmp_path / "spoiled"))
    weights = load_file(spoiled / "model.safetensors")
    weights[min(weights)].view(-1)[0] = float("nan")
    save_file(weights, spoiled / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="spoiled: NaN or infinite weights"):
        loaded(directory, spoiled)


def test_without_peft_one_line_says_what_to_install(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = save_adapter(base, tmp_path / "checkpoint-1")
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(CheckpointError, match=r"pip install 'ctv-tui\[lora\]'") as caught:
        loaded(directory, base)
    assert "\n" not in str(caught.value)
