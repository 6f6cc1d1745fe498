"""One model at one OpenAI-compatible endpoint: structured replies, stored, in a budget."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

from ctv_engine.llm.asking import Prompt, Reply, Unreadable
from ctv_engine.llm.budget import Budget
from ctv_engine.llm.endpoint import Endpoint, Sleep
from ctv_engine.llm.providers import Provider
from ctv_engine.llm.stored import Replies

READINGS = 3
"""A reply that can't be read is asked for so many times in all."""
_QUOTED = 2000


class Client:
    """Asks one model; see :class:`~ctv_engine.llm.asking.Asker`.

    A reply is stored under the hash of provider, model, parameters, prompt, picture and form before
    it is returned, so no question is paid for twice, and equal questions that come at once share
    one call. Time-outs, refused connections, 429 and 5xx are tried again with growing waits, at
    least as long as the provider says in ``Retry-After``. A provider that answers nothing for
    several questions in a row counts as down: the others fail at once, but for one a minute that
    looks whether it is back.
    """

    def __init__(
        self,
        provider: Provider,
        replies: Replies,
        budget: Budget,
        *,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare the connection; nothing is sent yet.

        Raises:
            ProviderError: the key is not in the environment, or ``openai`` is not installed.
        """
        self.provider = provider
        self._replies = replies
        self._endpoint = Endpoint(provider, budget, sleep, clock)
        self._places: asyncio.Semaphore | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked: dict[str, asyncio.Task[str]] = {}

    def __repr__(self) -> str:
        return f"Client({self.provider.label})"

    @property
    def model(self) -> str:
        """The pinned model, as ``provider/model``."""
        return self.provider.label

    @property
    def is_down(self) -> bool:
        """Whether the provider answered nothing for several questions in a row."""
        return self._endpoint.is_down

    async def ask(self, prompt: Prompt, reply: type[Reply]) -> Reply:
        """Return the model's reply, from the store where it is known.

        Who gives up waiting does not end the call: it is paid for, so its reply is stored.

        Raises:
            AskError: see its subclasses; nothing was stored.
        """
        name = self.name_of(prompt, reply)
        stored = self._replies.find(name)
        if stored is not None:
            return reply.model_validate_json(stored)
        self._use_this_loop()
        task = self._asked.get(name)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._answered(name, prompt, reply))
            self._asked[name] = task
            task.add_done_callback(lambda done: self._forget(name, done))
        return reply.model_validate_json(await asyncio.shield(task))

    def name_of(self, prompt: Prompt, reply: type[Reply]) -> str:
        """Return the hash under which a reply is stored.

        The provider's name is in it, since servers of one's own often call every model the same;
        its address is not, since they move.
        """
        asked = {
            "provider": self.provider.name,
            "parameters": self.provider.parameters(),
            "system": prompt.system,
            "text": prompt.text,
            "image": hashlib.sha256(prompt.image).hexdigest() if prompt.image else None,
            "attempt": prompt.attempt,
            "form": reply.model_json_schema(),
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def _forget(self, name: str, done: asyncio.Task[str]) -> None:
        if self._asked.get(name) is done:
            del self._asked[name]
        if not done.cancelled():
            done.exception()  # whoever still waits gets it; if nobody does, that is no news

    def _use_this_loop(self) -> None:
        """Connections and locks belong to the event loop in which they were made."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        self._loop = loop
        self._asked = {}
        self._places = asyncio.Semaphore(self.provider.max_concurrent)
        self._endpoint.connect()

    async def _answered(self, name: str, prompt: Prompt, reply: type[Reply]) -> str:
        """Ask until a reply can be read; store it with what all its readings took."""
        assert self._places is not None
        messages = _messages(prompt, reply, self.provider.structured)
        taken_in = taken_out = None
        cost = 0.0
        async with self._places:
            for reading in range(READINGS):
                made = await self._endpoint.send(self._request(messages, reply))
                taken_in = _sum(taken_in, made.input_tokens)
                taken_out = _sum(taken_out, made.output_tokens)
                cost += self._endpoint.cost(made)
                try:
                    found = reply.model_validate_json(_json_part(made.text))
                except ValueError as error:
                    problem = made.unfinished or _first_line(error)
                    if reading + 1 == READINGS:
                        raise Unreadable(
                            f"{self.model}: no usable reply in {READINGS} tries ({problem})"
                        ) from None
                    messages = [
                        *messages,
                        {"role": "assistant", "content": made.text[:_QUOTED] or "(nothing)"},
                        {"role": "user", "content": _again(problem)},
                    ]
                    continue
                stored = found.model_dump_json()
                self._replies.keep(
                    name,
                    stored,
                    provider=self.provider.name,
                    model=self.provider.model,
                    purpose=prompt.purpose,
                    input_tokens=taken_in,
                    output_tokens=taken_out,
                    cost=cost,
                )
                return stored
        raise AssertionError("a reading either returns or raises")

    def _request(self, messages: list[dict[str, Any]], reply: type[Reply]) -> dict[str, Any]:
        provider = self.provider
        request: dict[str, Any] = {"model": provider.model, "messages": messages}
        request[provider.limit_name] = provider.max_tokens
        if provider.temperature != "default":
            request["temperature"] = provider.temperature
        if provider.seed != "default":
            request["seed"] = provider.seed
        if provider.structured == "json_schema":
            form = {"name": reply.__name__, "schema": _strict(reply), "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": form}
        elif provider.structured == "json_object":
            request["response_format"] = {"type": "json_object"}
        return request


def _sum(known: int | None, more: int | None) -> int | None:
    return known if more is None else (known or 0) + more


def _messages(prompt: Prompt, reply: type[Reply], structured: str) -> list[dict[str, Any]]:
    system, text = _sendable(prompt.system), _sendable(prompt.text)
    if structured != "json_schema":
        form = json.dumps(_strict(reply), ensure_ascii=False)
        system += f"\n\nReply with one JSON object of this schema and nothing else:\n{form}"
    asked: str | list[dict[str, Any]] = text
    if prompt.image is not None:
        encoded = base64.b64encode(prompt.image).decode()
        url = f"data:{_media_type(prompt.image)};base64,{encoded}"
        asked = [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": text},
        ]
    return [{"role": "system", "content": system}, {"role": "user", "content": asked}]


def _sendable(text: str) -> str:
    """Return the text without halves of surrogate pairs, which UTF-8 does not know."""
    return text.encode(errors="replace").decode()


def _media_type(image: bytes) -> str:
    if image.startswith(b"\xff\xd8"):
        return "image/jpeg"
    if image.startswith(b"RIFF"):
        return "image/webp"
    return "image/gif" if image.startswith(b"GIF8") else "image/png"


def _strict(reply: type[Reply]) -> dict[str, Any]:
    """Return the form as strict servers want it: all properties required, no others."""

    def closed(node: Any) -> Any:
        if isinstance(node, list):
            return [closed(one) for one in node]
        if not isinstance(node, dict):
            return node
        made = {key: closed(value) for key, value in node.items() if key != "default"}
        if made.get("type") == "object":
            made |= {"additionalProperties": False, "required": list(made.get("properties", {}))}
        return made

    found: dict[str, Any] = closed(reply.model_json_schema())
    return found


def _json_part(text: str) -> str:
    """Return the object in a reply: models put it into a code block, or think aloud before it."""
    text = text.rpartition("</think>")[2]
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else text


def _again(problem: str) -> str:
    return f"That could not be read: {problem}. Reply with the JSON object alone."


def _first_line(error: ValueError) -> str:
    """Return what is wrong, without the reply that pydantic quotes."""
    found = getattr(error, "errors", None)
    if found is None:
        return str(error).splitlines()[0][:200]
    one = found(include_url=False, include_input=False)[0]
    place = ".".join(map(str, one["loc"])) or "the reply"
    return f"{place}: {one['msg']}"[:200]
