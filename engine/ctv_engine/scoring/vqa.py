"""VQA accuracy against ten annotators: soft (VizWiz, VQA v2) and strict majority."""

from __future__ import annotations

import re
from collections import Counter

from ctv_engine.scoring.numerals import readable
from ctv_engine.suite import Meta

AGREEMENT = 3
"""As many other annotators must have given an answer for it to count in full."""

_ARTICLES = ("a", "an", "the")
_DIGITS = {
    word: str(number)
    for number, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    )
} | {"none": "0"}
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'

# Written without their apostrophe; those that are words of their own (ill, well, were, id, shed,
# wed, hell, shell, its, lets) stay as they are.
_CONTRACTED = """
    ain't aren't can't couldn't couldn't've could've didn't doesn't don't hadn't hadn't've
    hasn't haven't he'd he'd've he's how'd how'll how's i'd've i'm i've isn't it'd it'd've it'll
    ma'am mightn't mightn't've might've mustn't must've needn't not've o'clock oughtn't shan't
    she'd've she's shouldn't shouldn't've should've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's
    there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't
    we'd've we've weren't what'll what're what's what've when's where'd where's where've who'd
    who'd've who'll who's who've why'll why're why's won't wouldn't wouldn't've would've y'all
    y'all'll y'all'd've you'd you'd've you'll you're you've
"""
_CONTRACTIONS = {word.replace("'", ""): word for word in _CONTRACTED.split()}


def vqa_soft(text: str, meta: Meta) -> float:
    """Return the VQA accuracy of one answer, 0 … 1.

    min(1, n / 3), n being how many of the others gave this answer, averaged over the ten ways to
    leave one annotator out (Antol et al., "VQA", ICCV 2015; Gurari et al., "VizWiz", CVPR 2018),
    both sides as :func:`normalised`. A blank text agrees with nobody.

    Raises:
        ValueError: there are no annotators' answers.
    """
    given, annotated = _both(text, meta)
    if not given:
        return 0.0
    n = len(annotated)
    same = annotated.count(given)
    left_in = min(1.0, same / AGREEMENT)
    left_out = min(1.0, (same - 1) / AGREEMENT) if same else 0.0
    return (same * left_out + (n - same) * left_in) / n


def vqa_majority(text: str, meta: Meta) -> float:
    """Return 1.0 if the text is the answer that most annotators gave, else 0.0.

    Both sides as :func:`normalised`. Answers that share the first place are all accepted, and if
    every annotator said something else, there is no majority to meet: 0.0.

    Raises:
        ValueError: there are no annotators' answers.
    """
    given, annotated = _both(text, meta)
    counts = Counter(answer for answer in annotated if answer)
    most = max(counts.values(), default=0)
    return float(most > 1 and counts[given] == most)


def normalised(text: str) -> str:
    """Return an answer as the VQA challenge compares it.

    Lower case; punctuation dropped where it touches a space (or where a number has commas), else a
    space; full stops dropped unless a digit follows; number words up to ten as digits; articles
    dropped, unless they are all there is; contractions with their apostrophe. Invisible characters
    and foreign digits are made readable first.
    """
    text = readable(text).lower().replace("\u2019", "'")
    grouped = re.search(r"\d,+\d", text) is not None
    out = text
    for sign in _PUNCTUATION:
        spaced = grouped or f"{sign} " in text or f" {sign}" in text
        out = out.replace(sign, "" if spaced else " ")
    words = [_DIGITS.get(word, word) for word in re.sub(r"\.(?!\d)", "", out).split()]
    kept = [word for word in words if word not in _ARTICLES] or words
    return " ".join(_CONTRACTIONS.get(word.replace("'", ""), word) for word in kept)


def _both(text: str, meta: Meta) -> tuple[str, list[str]]:
    if not meta.annotators:
        raise ValueError("VQA accuracy needs meta.annotators, the answers of ten people")
    return normalised(text), [normalised(answer) for answer in meta.annotators]
