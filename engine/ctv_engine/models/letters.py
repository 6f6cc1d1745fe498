"""Which tokens mean a letter, at the very place where the answer begins."""

from __future__ import annotations

from typing import Any

from ctv_engine.scoring.closed import LetterTokens
from ctv_engine.suite import LETTERS

VARIANTS = ("{}", " {}")
PLACE_TOKENS = 16


class LetterError(ValueError):
    """A letter can't be read from one next-token distribution with this tokenizer."""


def place_of_answer(tokenizer: Any, input_ids: list[int], rendered: str) -> str:
    """Return the text right before the answer as the model sees it, at most 16 tokens of it.

    A processor may add to the rendered prompt (PaliGemma's ends each with a new line), so the text
    is read back from ``input_ids``, one prompt without padding. Where that does not give the same
    tokens again, the rendered prompt has to do.
    """
    for start in range(-min(PLACE_TOKENS, len(input_ids)), 0):
        tail = input_ids[start:]
        text: str = tokenizer.decode(tail)
        if tokenizer(text, add_special_tokens=False).input_ids == tail:
            return text
    return rendered


def resolve_letters(tokenizer: Any, prompt: str, count: int) -> LetterTokens:
    """Return the token ids of the first ``count`` letters after ``prompt``.

    A variant ("A" or " A") counts if prompt + variant tokenises to the prompt's tokens and exactly
    one more. A letter may have several variants; their probabilities are added.

    Raises:
        LetterError: a letter is not one token, or two letters share one.
    """
    name = getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
    before = tokenizer(prompt, add_special_tokens=False).input_ids
    letters: list[tuple[int, ...]] = []
    for letter in LETTERS[:count]:
        ids: list[int] = []
        for variant in VARIANTS:
            after = tokenizer(prompt + variant.format(letter), add_special_tokens=False).input_ids
            one_more = len(after) == len(before) + 1 and after[:-1] == before
            if one_more and after[-1] not in ids and after[-1] != tokenizer.unk_token_id:
                ids.append(after[-1])
        if not ids:
            raise LetterError(
                f"tokenizer {name}: the letter {letter!r} is not one token after the prompt,"
                " so its probability can't be read from one prefill"
            )
        letters.append(tuple(ids))
    flat = [token for ids in letters for token in ids]
    if len(set(flat)) != len(flat):
        shared = next(token for token in flat if flat.count(token) > 1)
        owners = [LETTERS[i] for i, ids in enumerate(letters) if shared in ids]
        raise LetterError(f"tokenizer {name}: letters {', '.join(owners)} share token {shared}")
    return tuple(letters)
