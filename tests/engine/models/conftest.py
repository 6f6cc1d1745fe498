"""Questions of the tiny suite, closed and open."""

from __future__ import annotations

import asking
import pytest
from adapting import NEW_TOKENS

from ctv_engine.models.inputs import Question
from ctv_engine.suite import Suite


@pytest.fixture(scope="module")
def closed_questions(suite: Suite) -> list[Question]:
    return asking.closed_questions(suite)


@pytest.fixture(scope="module")
def open_questions(suite: Suite) -> list[Question]:
    return asking.open_questions(suite, NEW_TOKENS)


@pytest.fixture(scope="module")
def probe(closed_questions: list[Question], open_questions: list[Question]) -> list[Question]:
    """Closed and open forms of a short, a middling and a long item."""
    return asking.probe_of(closed_questions, open_questions)
