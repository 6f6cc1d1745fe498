"""The dataset of handwritten digits: scikit-learn's 1,797 scans of 8 by 8 pixels."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ctv_engine.demo.examples import (
    IMAGE_SIZE,
    Example,
    Picture,
    data_package,
    draw_sets,
    png_bytes,
)

DIGITS = tuple("0123456789")
QUESTION = "what digit is this?"


def read_digits(rng: random.Random) -> tuple[list[Picture], list[str]]:
    """Return all digits as 64 by 64 pictures with their labels.

    The order is shuffled within each label and then dealt label by label, so that every slice of
    the list holds nearly as many of one digit as of another.
    """
    table = data_package("sklearn.datasets").load_digits()
    by_label: defaultdict[str, list[np.ndarray]] = defaultdict(list)
    for scan, label in zip(table.images, table.target, strict=True):
        by_label[str(int(label))].append(scan)
    for label in DIGITS:
        rng.shuffle(by_label[label])
    pictures, labels = [], []
    for rank in range(max(map(len, by_label.values()))):
        for label in DIGITS:
            if rank < len(by_label[label]):
                pictures.append(_draw(by_label[label][rank], label))
                labels.append(label)
    return pictures, labels


def _draw(scan: np.ndarray, label: str) -> Picture:
    ink = np.rint(255 - scan * (255 / 16)).astype(np.uint8)
    image = Image.fromarray(ink).resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)
    return Picture(png_bytes(image.convert("RGB")), (label,))


def digit_examples(labels: Sequence[str], rng: random.Random) -> list[Example]:
    """Return one question for each picture; options are other digits."""
    examples = []
    for index, label in enumerate(labels):
        pool = [digit for digit in DIGITS if digit != label]
        examples.append(Example("digits", index, QUESTION, label, draw_sets(rng, pool, 3)))
    return examples
