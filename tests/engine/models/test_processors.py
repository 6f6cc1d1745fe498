"""Processors whose class wants torchvision, on a machine without it."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import families
import pytest
import transformers
from PIL import Image
from transformers.utils import is_torchvision_available

from ctv_engine.models.loading import CheckpointError
from ctv_engine.models.processors import load_processor

pytestmark = pytest.mark.skipif(
    is_torchvision_available(), reason="with torchvision there is nothing to work around"
)

QWEN = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
SMALL = {"height": 32, "width": 32}
KINDS: list[tuple[str, str, dict[str, Any], tuple[str, ...], str]] = [
    ("Qwen2VLProcessor", "Qwen2VLImageProcessorPil", {}, QWEN, "<|image_pad|>"),
    ("Qwen2_5_VLProcessor", "Qwen2VLImageProcessorPil", {}, QWEN, "<|image_pad|>"),
    ("Qwen3VLProcessor", "Qwen2VLImageProcessorPil", {}, QWEN, "<|image_pad|>"),
    (
        "LlavaOnevisionProcessor",
        "LlavaOnevisionImageProcessorPil",
        {"size": SMALL, "image_grid_pinpoints": [[32, 64], [64, 32]]},
        ("<image>", "<video>"),
        "<image>",
    ),
]
ARGUMENTS = {
    "LlavaOnevisionProcessor": {
        "patch_size": 8,
        "num_image_tokens": 16,
        "vision_feature_select_strategy": "full",
    },
}


def save(
    directory: Path, processor: str, image: str, options: dict[str, Any], tokens: tuple[str, ...]
) -> None:
    families.make_tokenizer({}, tokens).save_pretrained(directory)
    values = {
        "processor_class": processor,
        "image_processor": getattr(transformers, image)(**options).to_dict(),
        "video_processor": {"video_processor_type": "Qwen2VLVideoProcessor"},
        **ARGUMENTS.get(processor, {}),
    }
    (directory / "processor_config.json").write_text(json.dumps(values, default=str))
    (directory / "chat_template.jinja").write_text("{{ messages }}")


@pytest.mark.parametrize(
    ("processor", "image", "options", "tokens", "mark"), KINDS, ids=[kind[0] for kind in KINDS]
)
def test_a_processor_that_wants_torchvision_is_put_together_without(
    tmp_path: Path,
    processor: str,
    image: str,
    options: dict[str, Any],
    tokens: tuple[str, ...],
    mark: str,
) -> None:
    save(tmp_path, processor, image, options, tokens)
    with pytest.raises(ImportError, match=r"(?i)torchvision"):
        transformers.AutoProcessor.from_pretrained(tmp_path)
    loaded = load_processor(tmp_path)
    assert type(loaded.processor).__name__ == processor
    assert loaded.note is not None
    for words in (processor, "torchvision, which is not installed", "install the torchvision"):
        assert words in loaded.note
    picture = Image.new("RGB", (64, 32), (200, 30, 30))
    inputs = loaded.processor(text=[f"{mark} What?"], images=[[picture]], return_tensors="pt")
    image_id = loaded.processor.tokenizer.convert_tokens_to_ids(mark)
    assert (inputs["input_ids"] == image_id).sum() > 1  # one mark stands for many image tokens
    assert inputs["pixel_values"].abs().max() > 0


def test_a_checkpoint_of_the_older_kind_names_its_processor_elsewhere(tmp_path: Path) -> None:
    """Before processor_config.json, parts were saved as files of their own."""
    directory = families.build_family("qwen2_5_vl", tmp_path / "qwen")
    values = json.loads((directory / "processor_config.json").read_text())
    (directory / "processor_config.json").unlink()
    picture = {**values["image_processor"], "image_processor_type": "Qwen2VLImageProcessor"}
    (directory / "preprocessor_config.json").write_text(json.dumps(picture))
    loaded = load_processor(directory)
    assert type(loaded.processor).__name__ == "Qwen2_5_VLProcessor"
    assert loaded.processor.image_processor.patch_size == families.PATCH


def test_nothing_is_said_of_a_processor_that_needs_no_torchvision(tmp_path: Path) -> None:
    assert load_processor(families.build_family("llava", tmp_path / "llava")).note is None


@pytest.mark.parametrize(
    ("processor", "image", "words"),
    [
        ("Cohere2VisionProcessor", "Cohere2VisionImageProcessor", "(?i)torchvision"),
        ("SmolVLMProcessor", "SmolVLMImageProcessor", "pip install num2words"),
    ],
)
def test_what_can_not_be_put_together_is_refused_with_what_is_missing(
    tmp_path: Path, processor: str, image: str, words: str
) -> None:
    """Cohere2 Vision has no picture part but torchvision's, SmolVLM wants a second package."""
    if find_spec("num2words"):
        pytest.skip("num2words is installed")
    save(tmp_path, processor, "Qwen2VLImageProcessorPil", {}, ("<image>", "<video>"))
    values = json.loads((tmp_path / "processor_config.json").read_text())
    values["image_processor"] = {"image_processor_type": image}
    (tmp_path / "processor_config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=words) as caught:
        load_processor(tmp_path)
    assert "needs a package that is not installed" in str(caught.value)
    assert "\n" not in str(caught.value)
