"""The processor of a checkpoint: pictures and words to tensors, with or without torchvision."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from transformers import AutoConfig, AutoImageProcessor, AutoProcessor, AutoTokenizer
from transformers.models.auto.processing_auto import (
    PROCESSOR_MAPPING_NAMES,
    processor_class_from_name,
)
from transformers.processing_utils import ProcessorMixin
from transformers.utils import is_torchvision_available

from ctv_engine.models.loading import CheckpointError, first_line


@dataclass(frozen=True, slots=True)
class LoadedProcessor:
    """A processor, and what its user should know about how it came about."""

    processor: Any
    note: str | None = None


def load_processor(directory: Path) -> LoadedProcessor:
    """Load the processor of a checkpoint.

    One that can't be had only because torchvision is missing is put together from its tokenizer
    and its picture part, without the video part.

    Raises:
        CheckpointError: there is none, it can't be built, or it has no chat template.
    """
    note = None
    try:
        try:
            processor = AutoProcessor.from_pretrained(directory, trust_remote_code=False)
        except ImportError as error:
            if is_torchvision_available() or "torchvision" not in str(error).lower():
                raise
            processor = _without_torchvision(directory, error)
            note = (
                f"{type(processor).__name__} wants torchvision, which is not installed: it was put"
                " together without it, for pictures only, which Pillow resizes; install the"
                " torchvision that belongs to your torch for pixels exactly as in training"
            )
    except (OSError, ValueError, ImportError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, ImportError) or _wants_torchvision(error):
            name = "torchvision: " if _wants_torchvision(error) else ""
            raise CheckpointError(
                f"the processor of {directory.name} needs a package that is not installed:"
                f" {name}{first_line(error)}"
            ) from error
        raise CheckpointError(
            f"no usable processor in {directory.name} ({first_line(error)});"
            " save it beside the weights or name one with --processor"
        ) from error
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
        kind = type(processor).__name__
        raise CheckpointError(
            f"{directory.name} has a {kind} but no processor for pictures and text;"
            " save the processor beside the weights or name one with --processor"
        )
    if processor.chat_template is None and processor.tokenizer.chat_template is None:
        raise CheckpointError(f"{directory.name}: its processor has no chat template")
    if processor.tokenizer.pad_token_id is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    processor.tokenizer.padding_side = "left"
    return LoadedProcessor(processor, note)


def _wants_torchvision(error: BaseException) -> bool:
    return not is_torchvision_available() and "torchvision" in str(error).lower()


class _WithoutVideo:
    """Lets a processor be made with None for its video part, which pictures don't need."""

    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
        if argument_name == "video_processor" and argument is None:
            return None
        return super().check_argument_for_proper_class(argument_name, argument)  # type: ignore[misc]


def _without_torchvision(directory: Path, error: ImportError) -> Any:
    """Put a processor together from its parts; ``error`` is raised again if that can't be done."""
    values, _ = ProcessorMixin.get_processor_dict(directory)
    name = values.get("processor_class") or _class_name_by_config(directory)
    known = processor_class_from_name(name) if isinstance(name, str) else None
    if known is None:
        raise error
    genuine = known if issubclass(known, ProcessorMixin) else _import_genuine(known, error)
    kind = type(genuine.__name__, (_WithoutVideo, genuine), {"__module__": genuine.__module__})
    parts: dict[str, Any] = {
        "tokenizer": AutoTokenizer,
        "image_processor": AutoImageProcessor,
        "video_processor": None,
    }
    attributes = kind.get_attributes()  # type: ignore[attr-defined]
    if not set(attributes) <= set(parts):
        raise error
    arguments = [
        parts[part].from_pretrained(directory, trust_remote_code=False) if parts[part] else None
        for part in attributes
    ]
    return kind.from_args_and_dict(arguments, values)  # type: ignore[attr-defined]


def _class_name_by_config(directory: Path) -> str | None:
    """Return the processor that belongs to the model type, for older checkpoints."""
    config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
    name: str | None = PROCESSOR_MAPPING_NAMES.get(config.model_type)
    return name


def _import_genuine(placeholder: Any, error: ImportError) -> Any:
    """Import a class whose module asks for the torchvision twin of its picture module.

    transformers shows such a class as a placeholder that only raises. Its module needs no more than
    functions that the Pillow twin has as well.
    """
    family = str(placeholder.__module__).rpartition(".")[2].removeprefix("processing_")
    package = f"transformers.models.{family}"
    try:
        twin = importlib.import_module(f"{package}.image_processing_pil_{family}")
        with _stand_in(f"{package}.image_processing_{family}", twin):
            module = importlib.import_module(f"{package}.processing_{family}")
    except ImportError:
        raise error from None
    return getattr(module, placeholder.__name__)


@contextmanager
def _stand_in(name: str, module: ModuleType) -> Iterator[None]:
    """Let ``import name`` find ``module`` for a moment."""
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        yield
    finally:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
