"""Small files in exactly the columns in which the benchmarks are published."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from PIL import Image

Rows = Sequence[Mapping[str, Any]]


def picture(seed: int, size: tuple[int, int] = (24, 16), kind: str = "PNG") -> bytes:
    """Return a picture that no other seed has."""
    image = Image.new("RGB", size)
    for x in range(size[0]):
        for y in range(size[1]):
            value = (seed * 7919 + x // 4 * 131 + y // 4 * 71) * 2654435761 >> 8 & 255
            image.putpixel((x, y), (value, value // 2, 255 - value))
    encoded = io.BytesIO()
    image.save(encoded, kind, quality=95)
    return encoded.getvalue()


def hf(seed: int, kind: str = "PNG") -> dict[str, Any]:
    """Return a picture as the Hugging Face image feature stores it."""
    return {"bytes": picture(seed, kind=kind), "path": None}


CHARTQA = [
    {"type": "human_test", "question": "How many bars?", "answer": "4", "image": hf(1)},
    {"type": "augmented_test", "question": "Which year?", "answer": "2008", "image": hf(2)},
]
CHARTQA_ORIGINAL = [
    {"imgname": "a.png", "query": "How many bars?", "label": "4", "type": "human"},
]
DOCVQA = [
    {
        "questionId": "49153",
        "question": "What is the date?",
        "question_types": ["handwritten", "form"],
        "image": hf(3),
        "docId": 5,
        "ucsf_document_id": "x",
        "ucsf_document_page_no": "1",
        "answers": ["May 4", "4 May"],
        "data_split": "val",
    },
]
INFOVQA = [
    {
        "questionId": "98313",
        "question": "How many?",
        "answers": ["12%"],
        "answer_type": ["single span"],
        "image": hf(4),
        "image_url": "https://example.org/x.png",
        "operation/reasoning": [],
        "ocr": "",
        "data_split": "val",
    },
]


def maths(pid: str, **more: Any) -> dict[str, Any]:
    """Return a row of AI4Math/MathVista."""
    row = {
        "pid": pid,
        "question": "What is the sum?",
        "image": f"images/{pid}.jpg",
        "decoded_image": hf(int(pid), "JPEG"),
        "choices": None,
        "unit": None,
        "precision": None,
        "answer": "7",
        "question_type": "free_form",
        "answer_type": "integer",
        "metadata": {"category": "math", "grade": "x", "task": "geometry", "skills": ["a"]},
        "query": "Hint: …",
    }
    return {**row, **more}


MATHVISTA = [
    maths("1"),
    maths("2", answer="1.4", answer_type="float", precision=1.0, unit="cm"),
    maths(
        "3",
        choices=["3 cm", "4 cm"],
        answer="4 cm",
        question_type="multi_choice",
        answer_type="text",
    ),
]
MMVET = [
    {
        "question_id": "v1_0",
        "image": hf(8),
        "question": "What is x?",
        "answer": "-1 <AND> -5",
        "image_source": "web",
        "capability": "ocr,math",
    },
]
VIZWIZ = [
    {
        "question_id": "VizWiz_val_1.jpg",
        "image": hf(9),
        "question": "What is this?",
        "answers": [
            *("can", "soup can", "can", "can", "soup"),
            *("can", "can", "unanswerable", "x", "can"),
        ],
        "category": "other",
    },
]
VMCBENCH = [
    {
        "index": 7,
        "question": "How many bars?",
        "A": "3",
        "B": "4",
        "C": "5",
        "D": "6",
        "answer": "B",
        "category": "ChartQA",
        "image": hf(1, "JPEG"),
    },
]


def parquet(path: Path, rows: Rows, row_group: int = 1000) -> Path:
    """Write rows as Parquet."""
    table = pyarrow.Table.from_pylist(list(rows))
    pyarrow.parquet.write_table(table, path, row_group_size=row_group)
    return path


def json_lines(path: Path, rows: Rows) -> Path:
    """Write rows as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def tsv(path: Path, rows: Rows) -> Path:
    """Write rows as VLMEvalKit does: tab-separated, pictures in base64, lists as Python text."""
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)
    return path


def encoded(seed: int) -> str:
    """Return a picture in base64."""
    return base64.b64encode(picture(seed, (64, 48))).decode()
