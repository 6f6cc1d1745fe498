"""A provider over HTTP that answers as a test says, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

KEY_ENV, KEY = "SCRIPTED_KEY", "sk-scripted-0815"


def completion(text: str | None, tokens: tuple[int, int] = (1000, 100)) -> dict[str, Any]:
    """Return the body of a chat completion."""
    message = {"role": "assistant", "content": text}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {
            "prompt_tokens": tokens[0],
            "completion_tokens": tokens[1],
            "total_tokens": sum(tokens),
        },
    }


class ScriptedProvider:
    """``answer`` gets each request's body and returns the reply's object, or a status."""

    def __init__(
        self, server: HTTPServer, answer: Callable[[dict[str, Any]], dict[str, Any] | int]
    ) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answer = answer
        self.url = server.url_for("/v1")
        self._lock = threading.Lock()
        server.expect_request("/v1/chat/completions").respond_with_handler(self._handle)

    def _handle(self, request: Request) -> Response:
        body = json.loads(request.data)
        with self._lock:
            self.requests.append(body)
        found = self.answer(body)
        if isinstance(found, int):
            return Response("{}", status=found, content_type="application/json")
        reply = completion(json.dumps(found))
        return Response(json.dumps(reply), content_type="application/json")

    def file(self, path: Path, *names: str) -> Path:
        """Write the file that describes it under these names."""
        text = "".join(
            f'[providers.{name}]\nbase_url = "{self.url}"\nmodel = "m-{name}"\n'
            f'key_env = "{KEY_ENV}"\nprice_in = 2.0\nprice_out = 10.0\n'
            for name in names
        )
        path.write_text(text, encoding="utf-8")
        return path
