"""An image processor that remembers: stands in a processor's place for its ``image_processor``."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from transformers import BatchFeature

from ctv_engine.models.input_cache import Entry, InputCache
from ctv_engine.models.work import Work


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture on disk and the SHA-256 of its content, in hexadecimal."""

    path: Path
    digest: str


class PictureError(ValueError):
    """A picture that can't be used."""

    def __init__(self, picture: Picture, why: str) -> None:
        super().__init__(f"image {picture.path.name} {why}")
        self.picture = picture


@dataclass
class CachedImages:
    """Wraps an image processor; answers for pictures that it has seen without decoding them.

    A processor gets stand-ins (:meth:`stand_in`) and passes them on to this object, which puts
    together what the real image processor would have returned for the batch: pictures one by one,
    joined along the first axis, padded with zeros where their shapes differ. Whether that is right
    for a processor is for a self-check to prove.
    """

    real: Any
    cache: InputCache | None
    work: Work
    _identity: str = field(init=False)
    _pictures: dict[int, Picture] = field(default_factory=dict)
    _at_hand: dict[str, Entry] = field(default_factory=dict)
    """Entries of the call before: a batch and its parts ask for a picture more than once."""

    def __post_init__(self) -> None:
        """Name the processor: class, configuration and the library's version."""
        settings = {k: v for k, v in self.real.to_dict().items() if k != "_processor_class"}
        self._identity = json.dumps(
            [type(self.real).__name__, settings, transformers.__version__],
            sort_keys=True,
            default=repr,
        )

    def __getattr__(self, name: str) -> Any:
        """Everything else is the real processor's."""
        return getattr(self.real, name)

    def stand_in(self, picture: Picture) -> Image.Image:
        """Return an image object that this processor will take for ``picture``."""
        image = Image.new("RGB", (1, 1))
        self._pictures[id(image)] = picture
        return image

    def forget(self) -> None:
        """Drop the stand-ins handed out so far."""
        self._pictures.clear()

    def let_go(self) -> None:
        """Forget the entries at hand: what comes next is another batch."""
        self._at_hand = {}

    def __call__(self, images: Any, **kwargs: Any) -> BatchFeature:
        """Return what the real image processor would return for the stood-in pictures.

        Raises:
            PictureError: a picture that is not in the cache can't be decoded.
        """
        kind = kwargs.pop("return_tensors", None)
        nested = bool(images) and isinstance(images[0], list | tuple)
        flat = [image for part in images for image in part] if nested else list(images)
        keys = [self._key(self._pictures[id(image)], nested, kwargs) for image in flat]
        before, at_hand = self._at_hand, dict[str, Entry]()
        for key, image in zip(keys, flat, strict=True):
            if key not in at_hand:
                known = before.get(key)
                if known is None:
                    at_hand[key] = self._entry(key, self._pictures[id(image)], nested, kwargs)
                    continue
                at_hand[key] = known
            self.work.images_reused += 1
        entries = [at_hand[key] for key in keys]
        # Only now: another thread, whose batch has ended, may let go at any time.
        self._at_hand = at_hand
        return BatchFeature(_join(entries), tensor_type=kind)

    def _key(self, picture: Picture, nested: bool, kwargs: dict[str, Any]) -> str:
        call = json.dumps([picture.digest, nested, kwargs], sort_keys=True, default=repr)
        return hashlib.sha256(f"{self._identity}\0{call}".encode()).hexdigest()

    def _entry(self, key: str, picture: Picture, nested: bool, kwargs: dict[str, Any]) -> Entry:
        if self.cache is not None:
            entry = self.cache.get(key)
            if entry is not None:
                self.work.images_reused += 1
                return entry
        image = open_picture(picture)
        self.work.images_decoded += 1
        made = self.real([[image]] if nested else [image], **kwargs)
        entry = {name: _plain(value) for name, value in made.items()}
        if self.cache is not None:
            self.cache.put(key, entry)
        return entry


def open_picture(picture: Picture) -> Image.Image:
    """Decode a picture.

    Raises:
        PictureError: it can't be decoded, or is not the one that the suite was read with.
    """
    try:
        content = picture.path.read_bytes()
    except OSError as error:
        raise PictureError(picture, f"can't be read: {error}") from error
    if hashlib.sha256(content).hexdigest() != picture.digest:
        raise PictureError(
            picture,
            f"was changed since the suite was read ({picture.path}); start the engine anew, or put"
            " the picture back",
        )
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureError(picture, f"can't be decoded: {error}") from error


def _plain(value: Any) -> Any:
    """Return an array for anything that is one, else nested lists of numbers and words."""
    if isinstance(value, torch.Tensor):
        return value.numpy(force=True)
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, list | tuple):
        parts = [_plain(part) for part in value]
        if parts and all(isinstance(part, np.ndarray) for part in parts):
            shapes = {part.shape for part in parts}
            return np.stack(parts) if len(shapes) == 1 else parts
        return parts
    return value.item() if isinstance(value, np.generic) else value


def _join(entries: Sequence[Entry]) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for name in entries[0]:
        values = [entry[name] for entry in entries]
        if isinstance(values[0], np.ndarray):
            joined[name] = torch.from_numpy(_concatenate(values))
        else:
            joined[name] = [part for value in values for part in value]
    return joined


def _concatenate(arrays: Sequence[np.ndarray]) -> np.ndarray:
    shape = [max(sizes) for sizes in zip(*(array.shape[1:] for array in arrays), strict=True)]
    padded = []
    for array in arrays:
        gaps = [(0, most - size) for most, size in zip(shape, array.shape[1:], strict=True)]
        padded.append(np.pad(array, [(0, 0), *gaps]) if any(b for _, b in gaps) else array)
    return np.concatenate(padded)
