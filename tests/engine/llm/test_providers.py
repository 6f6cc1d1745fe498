"""Providers as a file describes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctv_engine.llm.providers import Provider, ProviderError, load_providers

GOOD = """
[providers.large]
base_url = "https://api.example.com/v1"
model = "m-1"
key_env = "EXAMPLE_KEY"
price_in = 2.5
[providers.local]
base_url = "http://127.0.0.1:8000/v1"
model = "m-2"
structured = "prompt"
"""


def test_several_providers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "providers.toml"
    path.write_text(GOOD, encoding="utf-8")
    found = load_providers(path)
    assert [one.label for one in found.values()] == ["large/m-1", "local/m-2"]
    assert found["large"].price_in == 2.5 and found["local"].key() is None
    monkeypatch.delenv("EXAMPLE_KEY", raising=False)
    with pytest.raises(ProviderError, match="variable EXAMPLE_KEY is not set"):
        found["large"].key()
    monkeypatch.setenv("EXAMPLE_KEY", " k ")
    assert found["large"].key() == "k"
    monkeypatch.setenv("EXAMPLE_KEY", "sk-\u201dquoted")
    with pytest.raises(ProviderError, match="signs that no key has") as caught:
        found["large"].key()
    assert "quoted" not in str(caught.value)


def test_what_changes_a_reply_is_part_of_its_name() -> None:
    one = Provider("a", "http://x", "m")
    assert one.parameters() == Provider("b", "http://y", "m", "KEY", 2).parameters()
    assert one.parameters() != Provider("a", "http://x", "m", temperature=0.5).parameters()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no \[providers.NAME\] table"),
        ("[providers", "can't be read"),
        ("[providers.a]\nmodel='m'", "base_url is missing"),
        ("[providers.a]\nbase_url='http://x'", "model is missing"),
        ("[providers.a]\nbase_url='x'\nmodel='m'", "no http"),
        ("[providers.a]\nbase_url='http://x:99999'\nmodel='m'", "base_url is no address"),
        ("[providers.a]\nbase_url='http://x'\nmodel='m'\napi_key='sk'", "no keys in files"),
        ("[providers.a]\nbase_url='http://x'\nmodel='m'\nprize=1", "unknown 'prize'"),
        ("[providers.a]\nbase_url='http://x'\nmodel='m'\nmax_concurrent=0", "max_concurrent is 0"),
        ("[providers.a]\nbase_url='http://x'\nmodel='m'\nseed='x'", "seed is 'x'"),
        ("[providers.a]\nbase_url='http://x'\nmodel='m'\nstructured='xml'", "use json_schema"),
        ("[providers.a]\nbase_url='http://x'\nmodel='m'\nlimit_name='x'", "use max_tokens"),
        ("[providers.a]\nbase_url='http://x'\nmodel='m'\ntimeout_s=nan", "timeout_s is nan"),
        ("[providers.a]\nbase_url='http://x'\nmodel='m'\nprice_in=inf", "price_in is inf"),
        ("[providers]\na = 1", "must be a table"),
    ],
)
def test_a_file_that_can_not_be_used(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "providers.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ProviderError, match=message):
        load_providers(path)
    with pytest.raises(ProviderError, match="can't be read"):
        load_providers(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("base_url='https://me:sk-4711@x/v1'", "no user, password or query"),
        ("base_url='https://x/v1?api=sk-4711'", "no user, password or query"),
        ("base_url='https://x'\nkey_env='sk-4711'", "name of an environment variable"),
        ("base_url='https://x'\napi_key='sk-4711'", "no keys in files"),
    ],
)
def test_a_key_in_the_file_is_refused_and_not_repeated(
    setting: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "providers.toml"
    path.write_text(f"[providers.a]\nmodel='m'\n{setting}", encoding="utf-8")
    with pytest.raises(ProviderError, match=message) as caught:
        load_providers(path)
    assert "4711" not in str(caught.value)


def test_what_a_server_shall_choose_itself(tmp_path: Path) -> None:
    path = tmp_path / "providers.toml"
    path.write_text(
        "[providers.a]\nbase_url='http://x'\nmodel='m'\ntemperature='default'\nseed='default'",
        encoding="utf-8",
    )
    assert load_providers(path)["a"].temperature == "default"
