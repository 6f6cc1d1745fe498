"""One model at one OpenAI-compatible endpoint: structured replies, stored, retried, in a budget."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from ctv_engine.llm.asking import Prompt, Reply, Unreachable, Unreadable
from ctv_engine.llm.budget import Budget
from ctv_engine.llm.providers import Provider, ProviderError
from ctv_engine.llm.stored import Replies

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types.chat import ChatCompletion

TRIES = 5
READINGS = 3
"""A reply that can't be read is asked for so many times in all."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
OPEN_AFTER = 3
"""Questions in a row that found nobody: then the provider counts as down."""
MAX_REPLY = 200_000
_FATAL = {400, 401, 402, 403, 404, 405, 410, 422}


class Client:
    """Asks one model; see :class:`~ctv_engine.llm.asking.Asker`.

    A reply is stored under the hash of model, parameters, prompt, picture and form before it is
    returned, so no question is paid for twice, and equal questions that come at once share one
    call. Time-outs, refused connections, 429 and 5xx are tried again with growing waits, as long as
    the provider says in ``Retry-After``; a provider that answers nothing for several questions in
    a row counts as down, and the others fail at once.
    """

    def __init__(
        self,
        provider: Provider,
        replies: Replies,
        budget: Budget,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Prepare the connection; nothing is sent yet.

        Raises:
            ProviderError: the key is not in the environment, or ``openai`` is not installed.
        """
        self.provider = provider
        self._replies, self._budget, self._sleep = replies, budget, sleep
        self._key = provider.key()
        try:
            import openai
        except ImportError as error:
            raise ProviderError(
                f"provider {provider.name}: asking a model takes pip install 'ctv-tui[suite]'"
            ) from error
        self._errors = openai
        self._connection: AsyncOpenAI | None = None
        self._places: asyncio.Semaphore | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked: dict[str, asyncio.Task[str]] = {}
        self._in_vain = 0
        self._waits = random.Random(provider.label)

    def __repr__(self) -> str:
        return f"Client({self.provider.label})"

    @property
    def model(self) -> str:
        """The pinned model, as ``provider/model``."""
        return self.provider.label

    @property
    def is_down(self) -> bool:
        """Whether the provider answered nothing for several questions in a row."""
        return self._in_vain >= OPEN_AFTER

    async def ask(self, prompt: Prompt, reply: type[Reply]) -> Reply:
        """Return the model's reply, from the store where it is known.

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
            task.add_done_callback(lambda _: self._asked.pop(name, None))
        return reply.model_validate_json(await asyncio.shield(task))

    def name_of(self, prompt: Prompt, reply: type[Reply]) -> str:
        """Return the hash under which a reply is stored; the endpoint's address is not in it."""
        asked = {
            "parameters": self.provider.parameters(),
            "system": prompt.system,
            "text": prompt.text,
            "image": hashlib.sha256(prompt.image).hexdigest() if prompt.image else None,
            "attempt": prompt.attempt,
            "form": reply.model_json_schema(),
        }
        text = json.dumps(asked, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode(errors="replace")).hexdigest()

    def _use_this_loop(self) -> None:
        """Connections and locks belong to the event loop in which they were made."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        self._loop = loop
        self._asked = {}
        self._places = asyncio.Semaphore(self.provider.max_concurrent)
        self._connection = self._errors.AsyncOpenAI(
            base_url=self.provider.base_url,
            api_key=self._key or "none",
            max_retries=0,
            timeout=self.provider.timeout_s,
        )

    async def _answered(self, name: str, prompt: Prompt, reply: type[Reply]) -> str:
        """Ask until a reply can be read; store it."""
        assert self._places is not None
        messages = _messages(prompt, reply, self.provider.structured)
        async with self._places:
            for reading in range(READINGS):
                made = await self._sent(messages, reply)
                text = _text_of(made)
                try:
                    found = reply.model_validate_json(_json_part(text))
                except ValueError as error:
                    problem = _first_line(error)
                    if reading + 1 == READINGS:
                        raise Unreadable(
                            f"{self.model}: no usable reply in {READINGS} tries ({problem})"
                        ) from None
                    messages = [
                        *messages,
                        {"role": "assistant", "content": text[:2000] or "(nothing)"},
                        {"role": "user", "content": _again(problem)},
                    ]
                    continue
                usage = made.usage
                stored = found.model_dump_json()
                self._replies.keep(
                    name,
                    stored,
                    provider=self.provider.name,
                    model=self.provider.model,
                    purpose=prompt.purpose,
                    input_tokens=usage.prompt_tokens if usage else None,
                    output_tokens=usage.completion_tokens if usage else None,
                    cost=self._cost(made),
                )
                return stored
        raise AssertionError("a reading either returns or raises")

    async def _sent(self, messages: list[dict[str, Any]], reply: type[Reply]) -> ChatCompletion:
        """Send one request, again where it found nobody.

        Raises:
            Unreachable: it was refused, or nobody answered within the tries.
            BudgetSpent: no call is left.
        """
        assert self._connection is not None
        if self.is_down:
            raise Unreachable(f"{self.model} is down: {OPEN_AFTER} questions found no answer")
        wait_s, problem = FIRST_WAIT_S, ""
        for attempt in range(TRIES):
            with self._budget.call():
                try:
                    made: ChatCompletion = await self._connection.chat.completions.create(
                        **self._request(messages, reply)
                    )
                except self._errors.APIStatusError as error:
                    problem = f"status {error.status_code}"
                    if error.status_code in _FATAL:
                        raise Unreachable(self._refused(error.status_code)) from None
                    wait_s = max(wait_s, _retry_after(error.response.headers))
                except self._errors.APITimeoutError:
                    problem = f"no answer within {self.provider.timeout_s:g} s"
                except self._errors.APIConnectionError as error:
                    problem = f"no connection ({type(error.__cause__ or error).__name__})"
                except (self._errors.APIError, ValueError) as error:
                    problem = f"no reply of this protocol ({type(error).__name__})"
                else:
                    if _is_reply(made):
                        self._in_vain = 0
                        self._budget.pay(self._cost(made))
                        return made
                    problem = "no reply of this protocol"
            if attempt + 1 < TRIES:
                await self._sleep(wait_s * (0.75 + 0.5 * self._waits.random()))
                wait_s = min(LONGEST_WAIT_S, 2 * wait_s)
        self._in_vain += 1
        raise Unreachable(f"{self.model}: {problem}, {TRIES} times; is {self._address} right?")

    @property
    def _address(self) -> str:
        return f"base_url {self.provider.base_url}"

    def _refused(self, status: int) -> str:
        if status in (401, 403):
            variable = self.provider.key_env
            way_out = f"check the key in {variable}" if variable else "it wants a key: set key_env"
        elif status == 404:
            way_out = f"check the model's name and {self._address}"
        elif status == 402:
            way_out = "the account has nothing left"
        else:
            way_out = "the request was refused; does it know structured replies and pictures?"
        return f"{self.model}: status {status}; {way_out}"

    def _request(self, messages: list[dict[str, Any]], reply: type[Reply]) -> dict[str, Any]:
        provider = self.provider
        request: dict[str, Any] = {
            "model": provider.model,
            "messages": messages,
            "max_tokens": provider.max_tokens,
        }
        if provider.temperature is not None:
            request["temperature"] = provider.temperature
        if provider.seed is not None:
            request["seed"] = provider.seed
        if provider.structured == "json_schema":
            form = {"name": reply.__name__, "schema": _strict(reply), "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": form}
        elif provider.structured == "json_object":
            request["response_format"] = {"type": "json_object"}
        return request

    def _cost(self, made: ChatCompletion) -> float:
        if made.usage is None:
            return 0.0
        spent_in = made.usage.prompt_tokens * self.provider.price_in
        return (spent_in + made.usage.completion_tokens * self.provider.price_out) / 1e6


def _messages(prompt: Prompt, reply: type[Reply], structured: str) -> list[dict[str, Any]]:
    system = prompt.system
    if structured != "json_schema":
        form = json.dumps(_strict(reply), ensure_ascii=False)
        system += f"\n\nReply with one JSON object of this schema and nothing else:\n{form}"
    content: list[dict[str, Any]] = [{"type": "text", "text": prompt.text}]
    if prompt.image is not None:
        encoded = base64.b64encode(prompt.image).decode()
        url = f"data:{_media_type(prompt.image)};base64,{encoded}"
        content.insert(0, {"type": "image_url", "image_url": {"url": url}})
    asked: Any = content if prompt.image is not None else prompt.text
    return [{"role": "system", "content": system}, {"role": "user", "content": asked}]


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


def _is_reply(made: Any) -> bool:
    """Tell whether the body was a completion; a page of HTML is parsed as a mere text."""
    return bool(getattr(made, "choices", None)) and hasattr(made.choices[0], "message")


def _text_of(made: ChatCompletion) -> str:
    return (made.choices[0].message.content or "")[:MAX_REPLY]


def _json_part(text: str) -> str:
    """Return the object in a reply: some models put it into a code block or a sentence."""
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


def _retry_after(headers: Mapping[str, str]) -> float:
    try:
        return min(LONGEST_WAIT_S, max(0.0, float(headers.get("retry-after", "0"))))
    except ValueError:
        return 0.0
