"""Conversion and annotation with a real model over HTTP and JSON schema.

It has 135 million parameters and sees no pictures: what is asserted is the form, never the sense.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import published
import pytest

from ctv_engine.construction.annotation import LlmAnnotator
from ctv_engine.construction.build import Build
from ctv_engine.construction.journal import Journal, State
from ctv_engine.construction.llm_converter import LlmConverter
from ctv_engine.construction.plan import Plan, SourcePlan
from ctv_engine.llm.asking import Prompt
from ctv_engine.llm.budget import Budget
from ctv_engine.llm.client import Client
from ctv_engine.llm.providers import Provider
from ctv_engine.llm.stored import Replies

pytestmark = pytest.mark.timeout(600)


class WithoutPictures:
    """The same model, asked without the pictures that it could not read."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.model = client.model

    async def ask(self, prompt: Prompt, reply: type[Any]) -> Any:
        return await self.client.ask(replace(prompt, image=None), reply)


@pytest.fixture
def replies(tmp_path: Path) -> Iterator[Replies]:
    stored = Replies(tmp_path / "replies.db")
    yield stored
    stored.close()


def client(llm_server: str, replies: Replies, name: str = "small", **more: Any) -> Client:
    provider = Provider(name, llm_server, "smollm2", max_concurrent=1, max_tokens=200, **more)
    return Client(provider, replies, Budget())


def test_conversion_and_annotation_leave_a_legal_journal(
    llm_server: str, replies: Replies, tmp_path: Path
) -> None:
    path = published.parquet(tmp_path / "charts.parquet", published.CHARTQA[:1])
    asker = WithoutPictures(client(llm_server, replies))
    people = [
        LlmAnnotator(WithoutPictures(client(llm_server, replies, name))) for name in ("a", "b")
    ]
    build = Build(
        tmp_path / "suite",
        Plan("small", (SourcePlan("chartqa", str(path), 1),), convert="small"),
        converter=lambda known: LlmConverter(asker, asker),
        annotators=people,
    )
    try:
        report = build.run()
    finally:
        build.close()
    journal = Journal(tmp_path / "suite")
    drafts = list(journal.drafts())
    journal.close()
    assert len(drafts) == 1
    for draft in drafts:
        if draft.state in (State.CONVERTED, State.KEPT, State.QUEUED):
            assert draft.gold_index is not None
            assert len({*draft.options}) == len(draft.options) == 4
        elif draft.state is State.REJECTED:
            assert draft.reason
    assert report.waiting == sum(d.state in (State.SAMPLED, State.CONVERTED) for d in drafts)
