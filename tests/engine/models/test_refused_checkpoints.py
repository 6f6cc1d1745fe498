"""Checkpoints that can't be evaluated say why."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from adapting import (
    closed_logprobs,
    copy_of,
    edit_json,
)
from asking import CPU, loaded
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor

from ctv_engine.models.inputs import Question
from ctv_engine.models.loading import CheckpointError, resolve_dtype
from ctv_engine.models.transformers_adapter import TransformersAdapter


def edit_weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def spoil(directory: Path) -> None:
        path = directory / "model.safetensors"
        weights = {name: tensor.clone() for name, tensor in load_file(path).items()}
        change(weights)
        save_file(weights, path, metadata={"format": "pt"})

    return spoil


def a_weight(weights: dict[str, torch.Tensor]) -> str:
    return next(name for name in sorted(weights) if "layers.0" in name)


def poison(value: float) -> Callable[[dict[str, torch.Tensor]], object]:
    return lambda weights: weights[a_weight(weights)].view(-1)[0].fill_(value)


def remove(*patterns: str) -> Callable[[Path], None]:
    def spoil(directory: Path) -> None:
        for pattern in patterns:
            for path in directory.glob(pattern):
                path.unlink()

    return spoil


def truncate(directory: Path) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def text_only_llama(directory: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    remove("*.safetensors", "config.json")(directory)
    config = LlamaConfig(
        vocab_size=400,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    LlamaForCausalLM(config).save_pretrained(directory)


def bert(directory: Path) -> None:
    from transformers import BertConfig, BertModel

    remove("*.safetensors", "config.json")(directory)
    config = BertConfig(
        vocab_size=400,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    BertModel(config).save_pretrained(directory)


def larger_tokenizer(directory: Path) -> None:
    processor = AutoProcessor.from_pretrained(directory)
    processor.tokenizer.add_tokens([f"<extra-{n}>" for n in range(50)])
    processor.save_pretrained(directory)


def unknown_architecture(directory: Path) -> None:
    edit_json(directory / "config.json", model_type="from-the-future", architectures=["Future"])


REFUSED: list[tuple[str, Callable[[Path], object], tuple[str, ...]]] = [
    (
        "NaN weights",
        edit_weights(poison(float("nan"))),
        ("NaN or infinite weights in 1 tensors", "layers.0", "diverged"),
    ),
    ("infinite weights", edit_weights(poison(float("inf"))), ("NaN or infinite weights",)),
    ("truncated", truncate, ("can't be read",)),
    (
        "no processor",
        remove("*processor*", "token*", "*.jinja"),
        ("no usable processor", "--processor"),
    ),
    ("no picture processor", remove("*processor*"), ("processor", "--processor")),
    ("no chat template", remove("*.jinja"), ("no chat template",)),
    ("a text-only Llama", text_only_llama, ("not a model that this engine can load",)),
    ("a BERT", bert, ("not a model that this engine can load",)),
    ("unknown architecture", unknown_architecture, ("from-the-future",)),
    (
        "missing weight",
        edit_weights(lambda weights: weights.pop(a_weight(weights))),
        ("weights do not fit its config", "missing keys", "layers.0"),
    ),
    (
        "weight too many",
        edit_weights(lambda weights: weights.update(more=torch.zeros(2))),
        ("weights do not fit its config", "unexpected keys: more"),
    ),
    (
        "weight of another shape",
        edit_weights(lambda w: w.update({a_weight(w): torch.zeros(3, 5)})),
        ("layers.0",),
    ),
    (
        "tokenizer larger than the embedding",
        larger_tokenizer,
        ("tokenizer has ids up to", "embedding", "do not belong together"),
    ),
    ("deleted", shutil.rmtree, ("deleted",)),
    ("no weights", remove("*.safetensors"), ("can't be read", "model.safetensors")),
]


@pytest.mark.parametrize(
    ("spoil", "words"), [(s, w) for _, s, w in REFUSED], ids=[name for name, *_ in REFUSED]
)
def test_a_checkpoint_that_can_not_be_evaluated(
    checkpoints: list[Path],
    closed_questions: list[Question],
    tmp_path: Path,
    spoil: Callable[[Path], object],
    words: tuple[str, ...],
) -> None:
    directory = copy_of(checkpoints[1], tmp_path)
    spoil(directory)
    for adapter in (TransformersAdapter(CPU), loaded(checkpoints[0])):
        with pytest.raises(CheckpointError) as caught:
            adapter.load(directory)
        message = str(caught.value)
        assert directory.name in message
        assert "\n" not in message
        for word in words:
            assert word in message
        assert adapter.model is None
        adapter.load(checkpoints[0])  # the next one is none the worse for it
        fresh = closed_logprobs(loaded(checkpoints[0]), closed_questions[:2])
        assert closed_logprobs(adapter, closed_questions[:2]).equal(fresh)


def test_deleted_while_its_weights_were_to_be_read(checkpoints: list[Path], tmp_path: Path) -> None:
    directory = copy_of(checkpoints[0], tmp_path)
    shutil.rmtree(directory)
    with pytest.raises(CheckpointError, match=r"gone|deleted"):
        loaded(directory, processor_directory=checkpoints[0])


@pytest.mark.parametrize(
    ("name", "device", "dtype"),
    [
        ("auto", "cpu", torch.float32),
        ("auto", "cuda", "auto"),
        ("float32", "cuda", torch.float32),
        ("bfloat16", "cpu", torch.bfloat16),
        ("float16", "cuda", torch.float16),
    ],
)
def test_dtypes(name: str, device: str, dtype: object) -> None:
    assert resolve_dtype(name, torch.device(device)) == dtype
