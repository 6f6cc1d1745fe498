"""Requests to one endpoint: tried again where that may help, given up at once where it can't."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from ctv_engine.llm.asking import Unreachable
from ctv_engine.llm.budget import Budget
from ctv_engine.llm.completion import Completion, NoCompletionError, read_completion
from ctv_engine.llm.providers import Provider, ProviderError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

TRIES = 5
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
OPEN_AFTER = 3
"""Questions in a row that came to nothing: then the provider counts as down."""
PROBE_EVERY_S = 60.0
"""So often one question looks whether a provider that is down is back."""
MAX_BODY_BYTES = 4_000_000
_MAY_PASS = {408, 409, 425, 429}
"""Of the statuses that blame the request, those that may be otherwise in a moment."""
_CONCERNS_ALL = {401, 402, 403, 404, 405, 410}
"""Refusals that the next question would get as well."""

Sleep = Callable[[float], Awaitable[None]]


class _TooLargeError(Exception):
    """A body that no reply needs."""


class Endpoint:
    """Sends questions to a provider; waits, budget and the state *down* are its own."""

    def __init__(
        self,
        provider: Provider,
        budget: Budget,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing is sent yet.

        Raises:
            ProviderError: the key is not in the environment, or ``openai`` is not installed.
        """
        self.provider = provider
        self._key = provider.key()
        self._budget, self._sleep, self._clock = budget, sleep, clock
        try:
            import openai
        except ImportError as error:
            raise ProviderError(
                f"provider {provider.name}: asking a model takes pip install 'ctv-tui[suite]'"
            ) from error
        self._errors = openai
        self._connection: AsyncOpenAI | None = None
        self._in_vain, self._last_problem = 0, ""
        self._probe_at = 0.0
        self._waits = random.Random(provider.label)

    def __repr__(self) -> str:
        return f"Endpoint({self.provider.label})"

    @property
    def is_down(self) -> bool:
        """Whether several questions in a row came to nothing."""
        return self._in_vain >= OPEN_AFTER

    def connect(self) -> None:
        """Make the connection anew: it belongs to the event loop that runs now."""
        self._connection = self._errors.AsyncOpenAI(
            base_url=self.provider.base_url,
            api_key=self._key or "none",
            max_retries=0,
            timeout=self.provider.timeout_s,
            http_client=_bounded(self._errors.DefaultAsyncHttpxClient),
        )

    async def send(self, request: Mapping[str, Any]) -> Completion:
        """Send one request, again where it found nobody.

        Raises:
            Unreachable: it was refused, nobody answered within the tries, or the provider is down.
            BudgetSpent: no call is left.
        """
        tries = self._tries()
        backoff_s = FIRST_WAIT_S
        for attempt in range(1, tries + 1):
            made, asked_to_wait_s = await self._try(request)
            if made is not None:
                self._in_vain = 0
                return made
            if attempt == tries or self.is_down:
                break
            await self._sleep(max(asked_to_wait_s, backoff_s * (0.75 + 0.5 * self._waits.random())))
            backoff_s = min(LONGEST_WAIT_S, 2 * backoff_s)
        self._came_to_nothing()
        often = f", {attempt} times" if attempt > 1 else ""
        hint = "" if self._last_problem.startswith("status") else f"; is {self._address} right?"
        raise Unreachable(f"{self.provider.label}: {self._last_problem}{often}{hint}")

    def _tries(self) -> int:
        """Return how often to try: once where this question only looks whether anybody is back."""
        if not self.is_down:
            return TRIES
        if self._clock() < self._probe_at:
            raise Unreachable(
                f"{self.provider.label} is down: {OPEN_AFTER} questions in a row came to nothing"
                f" ({self._last_problem})"
            )
        self._probe_at = self._clock() + PROBE_EVERY_S
        return 1

    def _came_to_nothing(self) -> None:
        self._in_vain += 1
        self._probe_at = self._clock() + PROBE_EVERY_S

    async def _try(self, request: Mapping[str, Any]) -> tuple[Completion | None, float]:
        """Return the completion, or None and how many seconds the provider asks to wait.

        What was wrong is left in ``_last_problem``.
        """
        assert self._connection is not None
        try:
            with self._budget.call():
                async with asyncio.timeout(self.provider.timeout_s):
                    answer = await self._connection.chat.completions.with_raw_response.create(
                        **request
                    )
                made = read_completion(answer.content)
                self._budget.pay(self.cost(made))
        except self._errors.APIStatusError as error:
            status = error.status_code
            said = _said(error.response.content, self._key)
            self._last_problem = f"status {status} ({said})" if said else f"status {status}"
            if 400 <= status < 500 and status not in _MAY_PASS:
                self._refused(status, said)
            return None, _retry_after(error.response.headers)
        except (self._errors.APITimeoutError, TimeoutError):
            self._last_problem = f"no answer within {self.provider.timeout_s:g} s"
        except self._errors.APIConnectionError as error:
            self._last_problem = f"no connection ({type(error.__cause__ or error).__name__})"
        except _TooLargeError:
            self._last_problem = f"an answer of more than {MAX_BODY_BYTES:,} bytes"
        except (self._errors.APIError, NoCompletionError) as error:
            self._last_problem = f"no reply of this protocol ({type(error).__name__})"
        else:
            return made, 0.0
        return None, 0.0

    def cost(self, made: Completion) -> float:
        """Return what a completion costs by the provider's prices."""
        spent_in = (made.input_tokens or 0) * self.provider.price_in
        return (spent_in + (made.output_tokens or 0) * self.provider.price_out) / 1e6

    @property
    def _address(self) -> str:
        return f"base_url {self.provider.base_url}"

    def _refused(self, status: int, said: str) -> None:
        """Raise :class:`Unreachable` with the way out. What a 401 says may quote part of a key."""
        if status in (401, 403):
            variable = self.provider.key_env
            way_out = f"check the key in {variable}" if variable else "it wants a key: set key_env"
        elif status in (404, 405, 410):
            way_out = f"check the model's name and {self._address}"
        elif status == 402:
            way_out = "the account has nothing left"
        else:
            way_out = said or "the request was refused; does it know structured replies, pictures?"
        self._last_problem = f"status {status}; {way_out}"
        if status in _CONCERNS_ALL:
            self._came_to_nothing()
        raise Unreachable(f"{self.provider.label}: {self._last_problem}") from None


def _bounded(client: type[Any]) -> Any:
    """Return an HTTP client that gives up on a body larger than any reply, unpacked or not."""

    class Bounded(client):  # type: ignore[misc]
        async def send(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
            response = await super().send(request, stream=True, **options)
            if stream:
                return response
            body = bytearray()
            try:
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > MAX_BODY_BYTES:
                        raise _TooLargeError
            finally:
                await response.aclose()
            headers = [
                (name, value)
                for name, value in response.headers.multi_items()
                if name.lower() not in ("content-encoding", "content-length", "transfer-encoding")
            ]
            return type(response)(
                response.status_code, headers=headers, content=bytes(body), request=request
            )

    return Bounded()


def _retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds to wait, given as such or as a date."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError):
            return 0.0
    return min(LONGEST_WAIT_S, max(0.0, seconds))


def _said(body: bytes, key: str | None) -> str:
    """Return what the server says is wrong with a request, without the key, on one line."""
    try:
        told = json.loads(body)
        told = told.get("error", told)
        text = str(told if isinstance(told, str) else told.get("message") or "")
    except (ValueError, RecursionError, AttributeError):
        return ""
    if key:
        text = text.replace(key, "…")
    return "".join(sign for sign in " ".join(text.split()) if sign.isprintable())[:200]
