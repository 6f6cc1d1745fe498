"""The tiny LLaVA: stock transformers classes, under one million parameters.

A SigLIP tower with 16-pixel patches turns a picture into 16 tokens, two linear layers hand them to
a Llama of four layers. The tokenizer is a byte-level BPE that knows the demo's words. Saved
checkpoints load with ``AutoModelForImageTextToText`` and ``AutoProcessor``; torchvision isn't
needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    SiglipImageProcessor,
    SiglipVisionConfig,
)

from ctv_engine.demo.examples import IMAGE_SIZE

PATCH_SIZE = 16
IMAGE_TOKENS = (IMAGE_SIZE // PATCH_SIZE) ** 2
MAX_VOCABULARY = 1024
ROPE_THETA = 10_000.0
LOOK_BACK = 5.0
# The usual initial weights of 0.02 would make image tokens vanish beside those of words.
PROJECTOR_GAIN = 5.0

END_OF_TEXT, TURN_START, TURN_END, IMAGE = "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on ``texts``; frequent words become one token, letters stay one."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=MAX_VOCABULARY,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[END_OF_TEXT, TURN_START, TURN_END, IMAGE],
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=TURN_START,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[IMAGE],
        padding_side="left",
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )


def build_processor(tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """Return the processor: pictures to 3 by 64 by 64 in -1 … 1, prompts with 16 image tokens."""
    return LlavaProcessor(
        image_processor=SiglipImageProcessor(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}),
        tokenizer=tokenizer,
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="full",
        image_token=IMAGE,
        num_additional_image_tokens=0,
        chat_template=CHAT_TEMPLATE,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlavaForConditionalGeneration:
    """Return an untrained model.

    The language part's ``initializer_range`` of 0.1 is needed: with the usual 0.02 a model this
    narrow doesn't begin to bind options to letters.
    """
    torch.manual_seed(seed)
    vision = SiglipVisionConfig(
        hidden_size=96,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE,
        vision_use_head=False,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        initializer_range=0.1,
        attention_bias=True,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=vision,
            text_config=text,
            image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
            image_seq_length=IMAGE_TOKENS,
            vision_feature_select_strategy="full",
            vision_feature_layer=-1,
            tie_word_embeddings=True,
        )
    )
    _look_back(model)
    with torch.no_grad():
        model.model.multi_modal_projector.linear_1.weight.mul_(PROJECTOR_GAIN)
    generation = model.generation_config
    generation.bos_token_id = tokenizer.bos_token_id
    generation.eos_token_id = tokenizer.eos_token_id
    generation.pad_token_id = tokenizer.pad_token_id
    generation.do_sample = False
    return model


@torch.no_grad()
def _look_back(model: LlavaForConditionalGeneration) -> None:
    """Let head h of the first layer begin by attending to the token h + 1 places before.

    A letter stands two tokens before its option. Finding that offset from nothing takes thousands
    of steps; with biases q = (c, 0) and k = R(offset) q per rotary pair, where R is the rotation
    that the rotary embedding applies, the attention logit peaks there from the start.
    """
    config = model.config.text_config
    size = config.hidden_size // config.num_attention_heads
    rates = ROPE_THETA ** (-2 * torch.arange(size // 2) / size)
    attention = model.model.language_model.layers[0].self_attn
    for head in range(config.num_attention_heads):
        angles = (head + 1) * rates
        rows = slice(head * size, (head + 1) * size)
        query = torch.cat([torch.ones(size // 2), torch.zeros(size // 2)])
        attention.q_proj.bias[rows] = LOOK_BACK * query
        attention.k_proj.bias[rows] = LOOK_BACK * torch.cat([angles.cos(), angles.sin()])


def load(directory: Path) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """Load model and processor of a saved checkpoint, offline.

    Raises:
        FileNotFoundError: ``directory`` holds no checkpoint.
        TypeError: the checkpoint is of another architecture.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if not (directory / "model.safetensors").is_file():
        raise FileNotFoundError(
            f"{directory}: no model.safetensors; make a seed with "
            "`python -m ctv_engine.demo.seed --work DIR --out DIR`"
        )
    model = AutoModelForImageTextToText.from_pretrained(directory)
    processor = AutoProcessor.from_pretrained(directory)
    if not isinstance(model, LlavaForConditionalGeneration):
        raise TypeError(f"{directory}: expected a LLaVA, found {type(model).__name__}")
    if not isinstance(processor, LlavaProcessor):
        raise TypeError(
            f"{directory}: expected a LLaVA processor, found {type(processor).__name__}"
        )
    return model, processor


def prompt_text(processor: LlavaProcessor, text: str) -> str:
    """Return the chat prompt for one picture and one user text, up to where the answer begins."""
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}
    prompt = processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
    return str(prompt).replace(IMAGE, IMAGE * IMAGE_TOKENS, 1)
