"""Named providers, as a TOML file describes them.

::

    [providers.large]
    base_url = "https://api.example.com/v1"
    model = "some-model-2026-01-01"
    key_env = "EXAMPLE_API_KEY"     # the variable that holds the key; left out: no key is sent
    max_concurrent = 8
    price_in = 2.5                  # per million tokens, in whatever currency the budget is in
    price_out = 10.0
    structured = "json_schema"      # or "json_object" or "prompt", for servers that know no schema
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

Structured = Literal["json_schema", "json_object", "prompt"]


class ProviderError(Exception):
    """A provider that can't be used as it is described; names the setting and the way out."""


@dataclass(frozen=True, slots=True)
class Provider:
    """An OpenAI-compatible endpoint and one model there. Its key is never part of it."""

    name: str
    base_url: str
    model: str
    key_env: str | None = None
    max_concurrent: int = 8
    temperature: float | None = 0.0
    seed: int | None = 0
    max_tokens: int = 2048
    timeout_s: float = 120.0
    price_in: float = 0.0
    price_out: float = 0.0
    structured: Structured = "json_schema"

    @property
    def label(self) -> str:
        """How the model is called in provenance, votes and messages."""
        return f"{self.name}/{self.model}"

    def key(self) -> str | None:
        """Return the key from the environment; None where the provider takes none.

        Raises:
            ProviderError: the variable is not set.
        """
        if self.key_env is None:
            return None
        key = os.environ.get(self.key_env, "").strip()
        if not key:
            raise ProviderError(
                f"provider {self.name}: the environment variable {self.key_env} is not set;"
                " it must hold the key"
            )
        return key

    def parameters(self) -> dict[str, Any]:
        """Return what changes a reply: part of the name under which it is stored."""
        return {
            "model": self.model,
            "temperature": self.temperature,
            "seed": self.seed,
            "max_tokens": self.max_tokens,
            "structured": self.structured,
        }


def load_providers(path: Path) -> dict[str, Provider]:
    """Read the providers of a TOML file.

    Raises:
        ProviderError: no such file, no TOML, or a provider that is not described rightly.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProviderError(f"{path}: can't be read ({error})") from error
    return providers_of(table.get("providers"), str(path))


def providers_of(tables: object, where: str) -> dict[str, Provider]:
    """Return the providers that ``[providers.NAME]`` tables describe.

    Raises:
        ProviderError: see :func:`load_providers`.
    """
    if not isinstance(tables, Mapping) or not tables:
        raise ProviderError(f"{where}: no [providers.NAME] table")
    return {name: _provider(name, table, where) for name, table in tables.items()}


_KINDS: Mapping[str, tuple[type, ...]] = {
    "base_url": (str,), "model": (str,), "key_env": (str,), "structured": (str,),
    "max_concurrent": (int,), "max_tokens": (int,), "seed": (int,),
    "temperature": (int, float), "timeout_s": (int, float),
    "price_in": (int, float), "price_out": (int, float),
}  # fmt: skip
_POSITIVE = {"max_concurrent", "max_tokens", "timeout_s"}


def _is_one_of(value: object, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _provider(name: str, table: Any, where: str) -> Provider:
    place = f"{where}: [providers.{name}]"
    if not isinstance(table, Mapping):
        raise ProviderError(f"{place} must be a table with base_url and model")
    known = [field.name for field in fields(Provider) if field.name != "name"]
    entry: Mapping[str, Any] = table
    for key, value in entry.items():
        if "key" in key.lower() and key != "key_env":
            raise ProviderError(
                f"{place}: no keys in files; put it into an environment variable and name that"
                " with key_env"
            )
        if key not in known:
            raise ProviderError(f"{place}: unknown {key!r}; known are {', '.join(known)}")
        if not _is_one_of(value, _KINDS[key]):
            raise ProviderError(f"{place}: {key} is {value!r}")
        if (key in _POSITIVE and value <= 0) or (key.startswith("price") and value < 0):
            raise ProviderError(f"{place}: {key} is {value!r}; it must be more than nothing")
    for key in ("base_url", "model"):
        if not table.get(key):
            raise ProviderError(f"{place}: {key} is missing")
    if not str(table["base_url"]).startswith(("http://", "https://")):
        raise ProviderError(f"{place}: base_url {table['base_url']!r} is no http(s) address")
    if table.get("structured", "prompt") not in get_args(Structured):
        choices = ", ".join(get_args(Structured))
        raise ProviderError(f"{place}: structured is {table['structured']!r}; use {choices}")
    return Provider(name=name, **table)
