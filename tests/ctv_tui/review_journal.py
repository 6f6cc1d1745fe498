"""A build's journal with items for a person, as a build with three annotators leaves it.

``python tests/ctv_tui/review_journal.py FOLDER`` makes one with pictures.
"""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

from ctv_engine.construction.journal import Journal, Vote
from ctv_engine.construction.source import Origin, SourceItem
from ctv_engine.construction.votes import verdict

RULES = {"converter": "rules", "version": 1}
MODELS = {
    "converter": "llm",
    "models": ["qwen3-vl-32b", "gemma-4-27b"],
    "prompts": "9f2c61d0a4b8e7f1",
    "correctness": 5,
}
ANNOTATORS = ("gemma-4-27b", "internvl3-38b", "qwen3-vl-32b")

ITEMS: tuple[tuple[str, str, str, tuple[str, ...], tuple[str, ...], int], ...] = (
    (
        "ChartQA",
        "chart-0017",
        "In which year did the share of renewable energy pass that of coal?",
        ("2019",),
        ("2016", "2019", "2020", "2021"),
        1,
    ),
    ("ChartQA", "chart-0042", "How many bars are above 50?", ("3",), ("3", "4", "5", "2"), 0),
    (
        "DocVQA",
        "doc-0108",
        "Who signed the letter of 12 March?",
        ("H. Weber", "Weber"),
        ("R. Weber", "H. Weber", "K. Huber", "H. Fischer"),
        1,
    ),
    (
        "DocVQA",
        "doc-0230",
        "What is the invoice number?",
        ("A-771",),
        ("A-717", "A-771", "A-177"),
        1,
    ),
    ("VizWiz", "viz-0003", "What is in this can?", ("soup",), ("beans", "corn", "soup", "tuna"), 2),
)
VOTES: tuple[tuple[int | None, ...], ...] = (
    (2, 1, 2),
    (1, 0, 0),
    (0, 1, None),
    (1, 1, 1),
    (2, 0, 2),
)


def record(directory: Path) -> Journal:
    """Make the journal: four items queued and one kept, each with a picture."""
    (directory / "images").mkdir(parents=True)
    journal = Journal(directory, create=True)
    journal.set("name", "mixed")
    journal.set(
        "datasets",
        [
            {
                "name": name,
                "open_metric": metric,
                "max_new_tokens": 16,
                "open_instruction": "Answer the question with a single word.",
            }
            for name, metric in (
                ("ChartQA", "relaxed"),
                ("DocVQA", "anls"),
                ("VizWiz", "exact_match"),
            )
        ],
    )
    for row, (dataset, key, question, answers, options, gold) in enumerate(ITEMS):
        image = f"images/{key}.png"
        (directory / image).write_bytes(png(240 + row, 160))
        item = SourceItem(
            dataset=dataset,
            key=key,
            question=question,
            answers=answers,
            origin=Origin(f"{dataset.lower()}/test-00000.parquet", row * 31),
        )
        journal.add([(item, image)])
        draft = next(one for one in journal.drafts() if one.key == key)
        journal.convert(draft.id, options, gold, MODELS if row % 2 == 0 else RULES)
        for name, choice in zip(ANNOTATORS, VOTES[row], strict=True):
            said = (
                "I read it at the left axis" if choice is not None else "no single option is right"
            )
            journal.vote(draft.id, Vote(name, choice, said))
        decided = verdict(journal.draft(draft.id), journal.votes(draft.id), len(ANNOTATORS))
        assert decided is not None
        journal.settle(draft.id, decided.state, decided.reason)
    return journal


def png(width: int, height: int) -> bytes:
    """A grey picture with darker bars, made without a library."""
    rows = b"".join(
        b"\0" + bytes(90 if x // 24 % 2 and y > 150 - x // 2 else 220 for x in range(width))
        for y in range(height)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


if __name__ == "__main__":
    record(Path(sys.argv[1])).close()
