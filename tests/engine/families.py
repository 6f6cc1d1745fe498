"""Tiny checkpoints of the model families, with random weights, saved as a training run saves them.

Each has the parts that make its family hard: tiles and pictures of any shape, several image tokens
that stand for one picture, masks that depend on the kind of a token, positions in three dimensions.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

PICTURE_SIZES = ((32, 32), (80, 32), (32, 72), (56, 40), (20, 24), (64, 64))
"""Width and height of the pictures to ask about: square, wide, tall, larger and smaller."""

CORPUS = (
    "What colour is the square? What is shown in the picture? Answer with one word.",
    "Answer with the letter of the right option only.",
    *(f"{letter}. a {letter} square, no {letter}" for letter in "ABCDEFGH"),
)
HIDDEN, LAYERS, HEADS, PATCH, SIDE, POSITIONS = 32, 2, 2, 8, 32, 1024
INITIALIZER_RANGE = 0.2


@dataclass(frozen=True)
class Parts:
    """What a family's checkpoint is made of. ``processor`` names its class in transformers."""

    model: str
    config: Any
    processor: str
    image_processor: Any
    tokenizer: Any
    template: str
    arguments: dict[str, Any] = field(default_factory=dict)
    video_processor: str | None = None


def make_tokenizer(tokens: dict[str, str], more: tuple[str, ...] = ()) -> Any:
    """Train a byte-level tokenizer on a few lines.

    ``tokens`` are special tokens with the name of the attribute under which processors find them.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=360,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=["<pad>", "<s>", "</s>", *tokens.values(), *more],
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=list(more),
        extra_special_tokens=tokens,
    )


def _text(tokenizer: Any, **more: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": 1,
        "head_dim": HIDDEN // HEADS,
        "max_position_embeddings": POSITIONS,
        "initializer_range": INITIALIZER_RANGE,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        **more,
    }


def _vision(side: int = SIDE, **more: Any) -> dict[str, Any]:
    return {
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "image_size": side,
        "patch_size": PATCH,
        "initializer_range": INITIALIZER_RANGE,
        **more,
    }


def _template(user: str, image: str, end: str, assistant: str, begin: str = "") -> str:
    return (
        f"{begin}{{% for m in messages %}}{user}{{% for c in m['content'] %}}"
        f"{{% if c['type'] == 'image' %}}{image}{{% else %}}{{{{ c['text'] }}}}{{% endif %}}"
        f"{{% endfor %}}{end}{{% endfor %}}{{% if add_generation_prompt %}}{assistant}{{% endif %}}"
    )


def _llava() -> Parts:
    from transformers import CLIPImageProcessorPil, LlavaConfig

    tokenizer = make_tokenizer({"image_token": "<image>"})
    return Parts(
        model="LlavaForConditionalGeneration",
        config=LlavaConfig(
            vision_config={"model_type": "clip_vision_model", **_vision()},
            text_config={"model_type": "llama", **_text(tokenizer)},
            image_token_index=tokenizer.image_token_id,
            image_seq_length=(SIDE // PATCH) ** 2,
            tie_word_embeddings=False,
        ),
        processor="LlavaProcessor",
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
        ),
        tokenizer=tokenizer,
        template=_template("USER: ", "<image>\n", " ", "ASSISTANT:"),
        arguments={
            "patch_size": PATCH,
            "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1,
        },
    )


def _llava_next() -> Parts:
    from transformers import LlavaNextConfig, LlavaNextImageProcessorPil

    tokenizer = make_tokenizer({"image_token": "<image>"})
    grids = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
    return Parts(
        model="LlavaNextForConditionalGeneration",
        config=LlavaNextConfig(
            vision_config={"model_type": "clip_vision_model", **_vision()},
            text_config={"model_type": "mistral", **_text(tokenizer, sliding_window=None)},
            image_token_index=tokenizer.image_token_id,
            image_grid_pinpoints=grids,
            image_seq_length=(SIDE // PATCH) ** 2,
        ),
        processor="LlavaNextProcessor",
        image_processor=LlavaNextImageProcessorPil(
            size={"shortest_edge": SIDE},
            crop_size={"height": SIDE, "width": SIDE},
            image_grid_pinpoints=grids,
        ),
        tokenizer=tokenizer,
        template=_template("[INST] ", "<image>\n", " [/INST]", "", begin="<s>"),
        arguments={
            "patch_size": PATCH,
            "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1,
        },
    )


def _idefics3() -> Parts:
    from transformers import Idefics3Config, Idefics3ImageProcessorPil

    places = tuple(f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7))
    marks = ("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", *places)
    tokenizer = make_tokenizer({}, marks)
    return Parts(
        model="Idefics3ForConditionalGeneration",
        config=Idefics3Config(
            vision_config=_vision(),
            text_config={"model_type": "llama", **_text(tokenizer)},
            image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
            scale_factor=2,
        ),
        processor="Idefics3Processor",
        image_processor=Idefics3ImageProcessorPil(
            size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE}
        ),
        tokenizer=tokenizer,
        template=_template("User:", "<image>", "<end_of_utterance>\n", "Assistant:", begin="<s>"),
        arguments={"image_seq_len": (SIDE // PATCH // 2) ** 2},
    )


def _gemma3() -> Parts:
    from transformers import Gemma3Config, Gemma3ImageProcessorPil

    tokens = {
        "image_token": "<image_soft_token>",
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
    }
    tokenizer = make_tokenizer(tokens, ("<start_of_turn>", "<end_of_turn>"))
    image_tokens = (SIDE // PATCH // 2) ** 2
    return Parts(
        model="Gemma3ForConditionalGeneration",
        config=Gemma3Config(
            vision_config={"model_type": "siglip_vision_model", **_vision(vision_use_head=False)},
            text_config=_text(
                tokenizer,
                sliding_window=16,
                layer_types=["sliding_attention", "full_attention"],
                query_pre_attn_scalar=HIDDEN // HEADS,
            ),
            mm_tokens_per_image=image_tokens,
            boi_token_index=tokenizer.boi_token_id,
            eoi_token_index=tokenizer.eoi_token_id,
            image_token_index=tokenizer.image_token_id,
        ),
        processor="Gemma3Processor",
        image_processor=Gemma3ImageProcessorPil(
            size={"height": SIDE, "width": SIDE},
        ),
        tokenizer=tokenizer,
        template=_template(
            "<start_of_turn>user\n",
            "<start_of_image>",
            "<end_of_turn>\n",
            "<start_of_turn>model\n",
            begin="<s>",
        ),
        arguments={"image_seq_length": image_tokens},
    )


def _paligemma() -> Parts:
    from transformers import PaliGemmaConfig, PaliGemmaProcessor, SiglipImageProcessorPil

    tokenizer = make_tokenizer({"image_token": "<image>"})
    image_processor = SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    image_processor.image_seq_length = (SIDE // PATCH) ** 2
    PaliGemmaProcessor(image_processor, tokenizer)  # adds its tokens for places to the tokenizer
    return Parts(
        model="PaliGemmaForConditionalGeneration",
        config=PaliGemmaConfig(
            vision_config={"model_type": "siglip_vision_model", **_vision(vision_use_head=False)},
            text_config={"model_type": "gemma", **_text(tokenizer)},
            image_token_index=tokenizer.image_token_id,
            projection_dim=HIDDEN,
            hidden_size=HIDDEN,
        ),
        processor="PaliGemmaProcessor",
        image_processor=image_processor,
        tokenizer=tokenizer,
        template=_template("", "<image>", "", ""),
    )


def _mistral3() -> Parts:
    from transformers import Mistral3Config, PixtralImageProcessorPil

    tokenizer = make_tokenizer(
        {"image_token": "[IMG]", "image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]"}
    )
    vision = _vision(2 * SIDE, head_dim=HIDDEN // HEADS)
    return Parts(
        model="Mistral3ForConditionalGeneration",
        config=Mistral3Config(
            vision_config={"model_type": "pixtral", **vision},
            text_config={"model_type": "mistral", **_text(tokenizer, sliding_window=None)},
            image_token_index=tokenizer.image_token_id,
            spatial_merge_size=2,
            tie_word_embeddings=False,
        ),
        processor="PixtralProcessor",
        image_processor=PixtralImageProcessorPil(
            size={"longest_edge": 2 * SIDE}, patch_size={"height": PATCH, "width": PATCH}
        ),
        tokenizer=tokenizer,
        template=_template("[INST]", "[IMG]", "[/INST]", "", begin="<s>"),
        arguments={"patch_size": PATCH, "spatial_merge_size": 2},
    )


def _qwen2_5_vl() -> Parts:
    from transformers import Qwen2_5_VLConfig, Qwen2VLImageProcessorPil

    tokenizer = make_tokenizer(
        {},
        (
            "<|im_start|>",
            "<|im_end|>",
            "<|vision_start|>",
            "<|vision_end|>",
            "<|image_pad|>",
            "<|video_pad|>",
        ),
    )
    ids = tokenizer.convert_tokens_to_ids
    vision = {
        "depth": LAYERS,
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_heads": HEADS,
        "patch_size": PATCH,
        "window_size": 4 * PATCH,
        "fullatt_block_indexes": [1],
        "out_hidden_size": HIDDEN,
        "initializer_range": INITIALIZER_RANGE,
    }
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}
    text = _text(tokenizer, rope_parameters=rope)
    text.pop("head_dim")
    return Parts(
        model="Qwen2_5_VLForConditionalGeneration",
        config=Qwen2_5_VLConfig(
            vision_config=vision,
            text_config=text,
            image_token_id=ids("<|image_pad|>"),
            video_token_id=ids("<|video_pad|>"),
            vision_start_token_id=ids("<|vision_start|>"),
            vision_end_token_id=ids("<|vision_end|>"),
        ),
        processor="Qwen2_5_VLProcessor",
        image_processor=Qwen2VLImageProcessorPil(
            patch_size=PATCH, size={"shortest_edge": 16 * PATCH**2, "longest_edge": 64 * PATCH**2}
        ),
        tokenizer=tokenizer,
        template=_template(
            "<|im_start|>user\n",
            "<|vision_start|><|image_pad|><|vision_end|>",
            "<|im_end|>\n",
            "<|im_start|>assistant\n",
        ),
        video_processor="Qwen2VLVideoProcessor",
    )


def _internvl() -> Parts:
    from transformers import GotOcr2ImageProcessorPil, InternVLConfig

    tokenizer = make_tokenizer(
        {
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
        ("<|im_start|>", "<|im_end|>"),
    )
    image_tokens = (SIDE // PATCH // 2) ** 2
    return Parts(
        model="InternVLForConditionalGeneration",
        config=InternVLConfig(
            vision_config=_vision(image_size=[SIDE, SIDE], patch_size=[PATCH, PATCH]),
            text_config={"model_type": "qwen2", **_text(tokenizer)},
            image_token_id=tokenizer.context_image_token_id,
            image_seq_length=image_tokens,
            tie_word_embeddings=False,
        ),
        processor="InternVLProcessor",
        image_processor=GotOcr2ImageProcessorPil(
            size={"height": SIDE, "width": SIDE}, crop_to_patches=True, min_patches=1, max_patches=4
        ),
        tokenizer=tokenizer,
        template=_template(
            "<|im_start|>user\n", "<IMG_CONTEXT>\n", "<|im_end|>\n", "<|im_start|>assistant\n"
        ),
        arguments={"image_seq_length": image_tokens},
        video_processor="InternVLVideoProcessor",
    )


_BUILDERS: dict[str, Callable[[], Parts]] = {
    "llava": _llava,
    "llava_next": _llava_next,
    "idefics3": _idefics3,
    "gemma3": _gemma3,
    "paligemma": _paligemma,
    "mistral3": _mistral3,
    "qwen2_5_vl": _qwen2_5_vl,
    "internvl": _internvl,
}
FAMILIES: tuple[str, ...] = tuple(_BUILDERS)


def build_family(name: str, directory: Path, seed: int = 0) -> Path:
    """Save a checkpoint of family ``name`` in ``directory``; equal seeds give equal weights.

    The weights are drawn wider than a trainer would, so that pictures and questions count.
    """
    import torch
    import transformers

    parts = _BUILDERS[name]()
    torch.manual_seed(seed)
    model = getattr(transformers, parts.model)(parts.config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=INITIALIZER_RANGE)
        if hasattr(model.get_input_embeddings(), "embed_scale"):  # else every token repeats itself
            model.get_input_embeddings().weight /= 4
    model.generation_config.eos_token_id = parts.tokenizer.eos_token_id
    model.generation_config.pad_token_id = parts.tokenizer.pad_token_id
    model.save_pretrained(directory)
    _save_processor(parts, directory)
    step = {"global_step": 10 * (seed + 1), "save_steps": 10, "max_steps": 10**6}
    (directory / "trainer_state.json").write_text(json.dumps(step))
    return directory


def _save_processor(parts: Parts, directory: Path) -> None:
    """Write what the family's processor writes, also where its class can't be used here."""
    parts.tokenizer.save_pretrained(directory)
    values = {
        "processor_class": parts.processor,
        "image_processor": parts.image_processor.to_dict(),
        **parts.arguments,
    }
    if parts.video_processor:
        values["video_processor"] = {"video_processor_type": parts.video_processor}
    (directory / "processor_config.json").write_text(json.dumps(values, indent=2, default=str))
    (directory / "chat_template.jinja").write_text(parts.template)


def make_pictures(directory: Path) -> list[Path]:
    """Save one picture of noise of each size of :data:`PICTURE_SIZES`."""
    import random

    from PIL import Image

    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, (width, height) in enumerate(PICTURE_SIZES):
        noise = random.Random(number).randbytes(3 * 6 * 5)
        image = Image.frombytes("RGB", (6, 5), noise).resize((width, height))
        paths.append(directory / f"{width}x{height}.png")
        image.save(paths[-1])
    return paths
