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
    max_tokens = 2048               # of a reply, its reasoning included
    limit_name = "max_tokens"       # or "max_completion_tokens", as newer models at OpenAI want it
    temperature = 0.0               # "default": left to the server, some refuse 0; likewise seed
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

Structured = Literal["json_schema", "json_object", "prompt"]
LimitName = Literal["max_tokens", "max_completion_tokens"]


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
    temperature: float | Literal["default"] = 0.0
    seed: int | Literal["default"] = 0
    max_tokens: int = 2048
    limit_name: LimitName = "max_tokens"
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
            ProviderError: the variable is not set, or holds what no header can.
        """
        if self.key_env is None:
            return None
        key = os.environ.get(self.key_env, "").strip()
        if not key:
            raise ProviderError(
                f"provider {self.name}: the environment variable {self.key_env} is not set;"
                " it must hold the key"
            )
        if not (key.isascii() and key.isprintable()):
            raise ProviderError(
                f"provider {self.name}: the environment variable {self.key_env} holds signs that no"
                " key has; was it copied whole?"
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
    "limit_name": (str,), "max_concurrent": (int,), "max_tokens": (int,), "seed": (int,),
    "temperature": (int, float), "timeout_s": (int, float),
    "price_in": (int, float), "price_out": (int, float),
}  # fmt: skip
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_POSITIVE = {"max_concurrent", "max_tokens", "timeout_s"}
_MAY_BE_DEFAULT = {"temperature", "seed"}
_CHOICES = {"structured": get_args(Structured), "limit_name": get_args(LimitName)}


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
        fault = _fault(key, value)
        if fault:
            raise ProviderError(f"{place}: {key} {fault}")
    for key in ("base_url", "model"):
        if not table.get(key):
            raise ProviderError(f"{place}: {key} is missing")
    return Provider(name=name, **table)


def _fault(key: str, value: Any) -> str:
    """Return what is wrong with a setting, "" if nothing is."""
    if key in _MAY_BE_DEFAULT and value == "default":
        return ""
    if not _is_one_of(value, _KINDS[key]):
        return f"is {value!r}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {value!r}; it must be a number"
    if (key in _POSITIVE and value <= 0) or (key.startswith("price") and value < 0):
        return f"is {value!r}; it must be more than nothing"
    if key in _CHOICES and value not in _CHOICES[key]:
        return f"is {value!r}; use {', '.join(_CHOICES[key])}"
    if key == "key_env" and not _VARIABLE.fullmatch(value):
        return "must be the name of an environment variable; the key itself stays out of files"
    return _address_fault(value) if key == "base_url" and value else ""


def _is_one_of(value: object, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _address_fault(address: str) -> str:
    """Return what is wrong with an address; one that may hold a key is not quoted."""
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return "is no address"
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        return "must have no user, password or query; a key goes into a variable: key_env"
    return "" if usable else f"{address!r} is no http(s) address"
