"""A server that answers as a script says, whatever it says, and what is asked of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel
from pytest_httpserver import HTTPServer
from scripted_provider import completion
from werkzeug import Request, Response

from ctv_engine.llm.asking import Prompt
from ctv_engine.llm.client import Client

KEY = "sk-very-secret-4711"


class Verdict(BaseModel):
    score: float
    why: str


GOOD = '{"score": 0.5, "why": "half"}'


class Script:
    """Answers requests one after the other; the last answer is repeated."""

    def __init__(self, server: HTTPServer) -> None:
        self.answers: list[Callable[[], Response] | str | None] = [GOOD]
        self.requests: list[dict[str, Any]] = []
        self.authorization: list[str | None] = []
        self.url = server.url_for("/v1")
        server.expect_request("/v1/chat/completions").respond_with_handler(self._handle)

    def _handle(self, request: Request) -> Response:
        self.requests.append(json.loads(request.data))
        self.authorization.append(request.headers.get("Authorization"))
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if callable(answer):
            return answer()
        return Response(json.dumps(completion(answer)), content_type="application/json")


def status(code: int, **headers: str) -> Callable[[], Response]:
    body = json.dumps({"error": {"message": f"{KEY} is wrong", "type": "x"}})
    return lambda: Response(
        body, status=code, content_type="application/json", headers=list(headers.items())
    )


def ask(client: Client, text: str = "How good?", **prompt: Any) -> Verdict:
    return asyncio.run(client.ask(Prompt("judge", "You judge.", text, **prompt), Verdict))
