"""Which tokens mean a letter: real tokenizers, each with one property."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ctv_engine.models.letters import LetterError, resolve_letters
from ctv_engine.suite import LETTERS

PROMPT = "which one?\nanswer:\n"


def byte_level(*merges: tuple[str, str], normalizer: Any = None) -> Any:
    """A byte-level tokenizer with a token for every byte and one for every merge."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(first + second for first, second in merges)]
    bpe = Tokenizer(models.BPE({token: n for n, token in enumerate(tokens)}, list(merges)))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    if normalizer is not None:
        bpe.normalizer = normalizer
    return PreTrainedTokenizerFast(tokenizer_object=bpe, name_or_path="org/some-model")


def token(tokenizer: Any, text: str) -> int:
    number: int = tokenizer.convert_tokens_to_ids(text)
    return number


def test_a_letter_that_is_one_token() -> None:
    tokenizer = byte_level()
    assert resolve_letters(tokenizer, PROMPT, 3) == tuple(
        (token(tokenizer, letter),) for letter in "ABC"
    )


def test_all_letters_of_the_alphabet() -> None:
    letters = resolve_letters(byte_level(), PROMPT, len(LETTERS))
    assert len({ids for (ids,) in letters}) == len(LETTERS)


def test_the_variant_with_a_space_counts_too() -> None:
    tokenizer = byte_level(("Ġ", "A"), ("Ġ", "B"))
    assert resolve_letters(tokenizer, PROMPT, 3) == (
        (token(tokenizer, "A"), token(tokenizer, "ĠA")),
        (token(tokenizer, "B"), token(tokenizer, "ĠB")),
        (token(tokenizer, "C"),),
    )


def test_only_the_variant_with_a_space_is_enough() -> None:
    tokenizer = byte_level(("Ċ", "A"), ("Ġ", "A"))  # a bare A melts into the prompt's line end
    assert resolve_letters(tokenizer, PROMPT, 1) == ((token(tokenizer, "ĠA"),),)


def test_a_variant_that_is_the_same_token_counts_once() -> None:
    tokenizer = byte_level(normalizer=normalizers.Replace(" ", ""))
    assert resolve_letters(tokenizer, PROMPT, 2) == tuple(
        (token(tokenizer, letter),) for letter in "AB"
    )


def test_a_letter_of_two_tokens_is_refused_with_tokenizer_and_letter() -> None:
    tokenizer = byte_level(normalizer=normalizers.Replace("C", "xy"))
    assert len(resolve_letters(tokenizer, PROMPT, 2)) == 2
    with pytest.raises(LetterError) as caught:
        resolve_letters(tokenizer, PROMPT, 3)
    for words in ("tokenizer org/some-model", "the letter 'C' is not one token", "one prefill"):
        assert words in str(caught.value)


def test_a_letter_that_melts_into_the_prompt_is_refused() -> None:
    with pytest.raises(LetterError, match="letter 'B' is not one token"):
        resolve_letters(byte_level(("Ċ", "B")), PROMPT, 2)


def test_letters_that_share_a_token_are_refused() -> None:
    tokenizer = byte_level(normalizer=normalizers.Replace("D", "B"))
    with pytest.raises(LetterError, match="letters B, D share token"):
        resolve_letters(tokenizer, PROMPT, 4)


def test_an_unknown_letter_is_refused() -> None:
    words = Tokenizer(models.WordLevel({"<unk>": 0, "which": 1, "A": 2, "B": 3}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>")
    assert resolve_letters(tokenizer, "which\n", 2) == ((2,), (3,))
    with pytest.raises(LetterError, match="letter 'C' is not one token"):
        resolve_letters(tokenizer, "which\n", 3)


def test_the_tiny_models_letters() -> None:
    tokenizer = tiny.make_processor().tokenizer
    letters = resolve_letters(tokenizer, "<|im_start|>assistant\n", 4)
    assert [ids[0] for ids in letters] == [token(tokenizer, letter) for letter in "ABCD"]
