"""A tiny random LLaVA, a suite of coloured squares and a stand-in for a training run."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 200, 60),
    "blue": (30, 60, 220),
    "yellow": (230, 220, 40),
    "black": (10, 10, 10),
    "white": (245, 245, 245),
}
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image>\n{% else %}{{ c['text'] }}{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_processor(patch: int = 16, extra_merges: bool = True) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlavaProcessor, PreTrainedTokenizerFast, SiglipImageProcessor

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    lines = ["What colour is the square? " + " ".join(COLOURS)] * 5 if extra_merges else []
    bpe.train_from_iterator(
        lines,
        trainers.BpeTrainer(
            vocab_size=400,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"],
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<image>"],
        padding_side="left",
    )
    return LlavaProcessor(
        image_processor=SiglipImageProcessor(size={"height": 32, "width": 32}),
        tokenizer=tokenizer,
        patch_size=patch,
        vision_feature_select_strategy="full",
        image_token="<image>",
        num_additional_image_tokens=0,
        chat_template=TEMPLATE,
    )


def make_model(processor: Any, seed: int = 0) -> Any:
    import torch
    from transformers import (
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        SiglipVisionConfig,
    )

    torch.manual_seed(seed)
    vision = SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
        vision_use_head=False,
    )
    text = LlamaConfig(
        vocab_size=len(processor.tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        max_position_embeddings=256,
        initializer_range=0.3,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=processor.tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config.eos_token_id = 2
    model.generation_config.pad_token_id = 0
    return model.eval()


def save_checkpoint(directory: Path, step: int, seed: int = 0, *, save_steps: int = 10) -> Path:
    """Save a whole checkpoint directory as the HF Trainer leaves it."""
    processor = make_processor()
    make_model(processor, seed).save_pretrained(directory)
    processor.save_pretrained(directory)
    state = {"global_step": step, "save_steps": save_steps, "max_steps": 10**6}
    (directory / "trainer_state.json").write_text(json.dumps(state))
    return directory


def square_png(colour: tuple[int, int, int], seed: int) -> bytes:
    from PIL import Image

    rng = random.Random(seed)
    image = Image.new("RGB", (32, 32), (128, 128, 128))
    left, top = rng.randrange(12), rng.randrange(12)
    image.paste(colour, (left, top, left + 18, top + 18))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def make_suite(
    directory: Path, items: int = 12, *, kind: str = "paired", seed: int = 0, options: bool = True
) -> Any:
    """Write a suite of two datasets: short and long questions, exact match and ANLS.

    Without ``options`` its items can only be asked openly.
    """
    from ctv_engine.suite import Dataset, DraftItem, write_suite

    rng = random.Random(seed)
    names = list(COLOURS)
    drafts = []
    for number in range(items):
        key = names[number % len(names)]
        others = rng.sample([name for name in names if name != key], 3)
        padding = " please" * rng.randrange(6)
        for dataset in ("short", "long"):
            drafts.append(
                DraftItem(
                    dataset=dataset,
                    key=f"{seed}-{number}",
                    question=f"What colour is the square{padding if dataset == 'long' else ''}?",
                    image=square_png(COLOURS[key], 1000 * seed + number),
                    answers=(key,) if dataset == "short" else (f"a {key} square",),
                    options=(key, *others) if options else (),
                    gold_index=0 if options else None,
                )
            )
    return write_suite(
        directory,
        name=directory.name,
        kind=kind,  # type: ignore[arg-type]
        datasets=[Dataset("short", "exact_match", 4, "One word."), Dataset("long", "anls", 8)],
        items=drafts,
    )


def with_broken_picture(suite: Any, broken: Any) -> Any:
    """Return a suite whose ``broken`` item has bytes for a picture that can't be decoded.

    They are what the suite was made with, as far as it knows.
    """
    content = b"\x89PNG\r\n\x1a\nnothing"
    suite.image_path(broken).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    items = (
        replace(item, image_digest=digest) if item.image == broken.image else item
        for item in suite.items
    )
    return replace(suite, items=tuple(items))


def safetensors_bytes(values: int = 16, seed: int = 0) -> bytes:
    """Return a safetensors file with one float32 tensor, written by hand after its format."""
    tensor = {"dtype": "F32", "shape": [values], "data_offsets": [0, 4 * values]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "w": tensor}).encode()
    return len(header).to_bytes(8, "little") + header + random.Random(seed).randbytes(4 * values)


def bare_checkpoint(
    directory: Path, step: int, *, save_steps: int = 10, max_steps: int = 10**6, seed: int = 0
) -> Path:
    """Write a directory that is whole on disk (but no model), file by file as the Trainer does."""
    for name, content in bare_files(step, save_steps, max_steps, seed):
        directory.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    return directory


def bare_files(
    step: int, save_steps: int = 10, max_steps: int = 10**6, seed: int = 0
) -> list[tuple[str, bytes]]:
    """Return names and contents of a bare checkpoint in the order in which they are written."""
    state = {"global_step": step, "save_steps": save_steps, "max_steps": max_steps}
    return [
        ("config.json", b'{"model_type": "none"}'),
        ("generation_config.json", b"{}"),
        ("model.safetensors", safetensors_bytes(seed=seed)),
        ("tokenizer.json", b"{}"),
        ("chat_template.jinja", b"{{ messages }}"),
        ("training_args.bin", b"args"),
        ("optimizer.pt", b"moments"),
        ("trainer_state.json", json.dumps(state).encode()),
    ]
