"""Prompts about one picture: what they share is read once, and nobody notices."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import asking
import pytest
import tiny
import torch
from asking import loaded, logprobs, prove, question, words

from ctv_engine.models.cached_images import Picture
from ctv_engine.models.inputs import Prepared, Question
from ctv_engine.models.prefix import NotShareableError, Share, find_share
from ctv_engine.models.transformers_adapter import TransformersAdapter
from ctv_engine.suite import Suite

torch.set_num_threads(1)

IMG = 9
"""The image token of the prompts that are written out here."""


# --- who shares what ----------------------------------------------------------------------------


@dataclass
class Case:
    prompts: list[tuple[str, list[int]]]
    share: Share | None


CASES: dict[str, Case] = {
    "two questions about one picture": Case(
        [("a", [1, IMG, IMG, 5, 6]), ("a", [1, IMG, IMG, 5, 7, 8])], Share((0,), (4,), (0, 0))
    ),
    "every picture once": Case([("a", [1, IMG, 5]), ("b", [1, IMG, 5])], None),
    "a picture that is alone keeps one token for itself": Case(
        [("a", [IMG, 5, 6]), ("b", [IMG, 5, 6, 7]), ("a", [IMG, 5, 8])],
        Share((0, 1), (2, 3), (0, 1, 0)),
    ),
    "the same question twice": Case(
        [("a", [IMG, 5, 6]), ("a", [IMG, 5, 6])], Share((0,), (2,), (0, 0))
    ),
    "one prompt begins the other": Case(
        [("a", [IMG, 5, 6, 7, 8]), ("a", [IMG, 5, 6])], Share((0,), (2,), (0, 0))
    ),
    "pictures taken in turn": Case(
        [("a", [IMG, 1, 2]), ("b", [IMG, 1, 2]), ("a", [IMG, 1, 3]), ("b", [IMG, 4, 2])],
        Share((0, 1), (2, 1), (0, 1, 0, 1)),
    ),
    "three of which two are closer": Case(
        [("a", [IMG, 1, 2, 3]), ("a", [IMG, 1, 2, 4]), ("a", [IMG, 5, 2, 4])],
        Share((0,), (1,), (0, 0, 0)),
    ),
}


def padded(prompts: list[list[int]], kept: list[int] | None = None) -> Prepared:
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    inputs = {"input_ids": ids, "attention_mask": mask}
    return Prepared(inputs, [len(p) for p in prompts], kept or list(range(len(prompts))))


def about(*digests: str) -> list[Question]:
    return [Question(Picture(Path(digest), digest), "?") for digest in digests]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_who_shares_what(case: Case) -> None:
    asked = about(*(digest for digest, _ in case.prompts))
    assert find_share(asked, padded([ids for _, ids in case.prompts]), IMG) == case.share


@pytest.mark.parametrize(
    "prompts",
    [
        [[1, IMG, 5], [2, IMG, 5]],
        [[1, IMG, 5], [1, 1, IMG, 5]],
        [[IMG, IMG, 5, 6], [IMG, 5, 6, IMG]],
        [[1, IMG], [1, IMG]],
    ],
    ids=["other words before", "more words before", "a later picture", "nothing after"],
)
def test_a_picture_that_is_not_in_the_common_beginning(prompts: list[list[int]]) -> None:
    with pytest.raises(NotShareableError, match="differ before the picture's end"):
        find_share(about("a", "a"), padded(prompts), IMG)


def test_questions_that_are_not_asked_do_not_count() -> None:
    """The first and third of four have no inputs; rows are those of the second and the fourth."""
    asked = about("a", "b", "b", "a")
    assert find_share(asked, padded([[IMG, 1], [IMG, 1]], kept=[1, 3]), IMG) is None
    shared = find_share(asked, padded([[IMG, 1, 2], [IMG, 1, 3]], kept=[0, 3]), IMG)
    assert shared == Share((0,), (2,), (0, 0))


# --- on a model ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adapter(checkpoints: list[Path], suite: Suite) -> TransformersAdapter:
    adapter = loaded(checkpoints[0])
    probe = asking.probe_of(asking.closed_questions(suite), asking.open_questions(suite, 6))
    assert prove(adapter, probe) == []
    assert adapter.abilities.share
    return adapter


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{n}.png" for n in range(3)]
    for path, colour in zip(paths, tiny.COLOURS.values(), strict=False):
        path.write_bytes(tiny.square_png(colour, 5))
    return paths


def lengths(adapter: TransformersAdapter, asked: list[Question]) -> list[list[int]]:
    """Return each prompt's tokens."""
    prepared = adapter.inputs.build(asked, None)
    return [prepared.ids(row) for row in range(len(asked))]


def common(prompts: list[list[int]]) -> int:
    columns = list(zip(*(prompt[:-1] for prompt in prompts), strict=False))
    return next((n for n, column in enumerate(columns) if len({*column}) > 1), len(columns))


TEXTS = ("What?", "What colour is the square?", "What is it? Why? " * 4, "Is it?")
OPTIONS = "\nA. red\nB. blue"


def plainly(adapter: TransformersAdapter, asked: list[Question]) -> TransformersAdapter:
    other = TransformersAdapter(
        adapter.device, model=adapter.model, builder=adapter.builder, _forward=adapter.forward
    )
    assert not other.abilities.share and asked
    return other


@pytest.mark.parametrize("counts", [(4, 0, 0), (3, 1, 0), (2, 2, 2), (1, 4, 3)])
def test_several_questions_about_a_picture(
    adapter: TransformersAdapter, pictures: list[Path], counts: tuple[int, ...]
) -> None:
    asked = [
        question(path, TEXTS[n] + OPTIONS, 2)
        for path, count in zip(pictures, counts, strict=True)
        for n in range(count)
    ]
    before = adapter.work.copy()
    found = logprobs(asking.closed(adapter, asked, len(asked)))
    done = adapter.work.since(before)
    assert (found - logprobs(asking.closed(plainly(adapter, asked), asked, 1))).abs().max() < 1e-5

    prompts = lengths(adapter, asked)
    groups, start = [], 0
    for count in filter(None, counts):
        groups.append(prompts[start : start + count])
        start += count
    # A picture that stands alone leaves one token to its own ending.
    heads = [common(group) for group in groups]
    saved = [(len(group) - 1) * head for group, head in zip(groups, heads, strict=True)]
    assert done.shared_tokens == sum(saved) > 0
    assert done.prompt_tokens == sum(map(len, prompts)) - sum(saved)
    tails = [
        len(prompt) - head for group, head in zip(groups, heads, strict=True) for prompt in group
    ]
    assert done.processed_tokens == max(heads) * len(heads) + max(tails) * len(tails)
    assert (done.forwards, done.row_steps) == (2, 0)


def test_the_same_question_twice(adapter: TransformersAdapter, pictures: list[Path]) -> None:
    """Each row's ending is one token: a prefill all the same, no step of decoding."""
    asked = [question(pictures[0], TEXTS[1] + OPTIONS, 2)] * 3
    before = adapter.work.copy()
    found = logprobs(asking.closed(adapter, asked, 3))
    done = adapter.work.since(before)
    length = len(lengths(adapter, asked[:1])[0])
    assert (found - logprobs(asking.closed(plainly(adapter, asked), asked, 1))).abs().max() < 1e-5
    assert done.shared_tokens == 2 * (length - 1)
    assert done.prompt_tokens == done.processed_tokens == length - 1 + 3
    assert (done.forwards, done.row_steps) == (2, 0)


def test_open_questions_about_a_picture(adapter: TransformersAdapter, pictures: list[Path]) -> None:
    asked = [question(path, text, cap=7) for path in pictures for text in TEXTS[:3]]
    before = adapter.work.copy()
    found = words(asking.opened(adapter, asked, 9))
    done = adapter.work.since(before)
    assert found == words(asking.opened(plainly(adapter, asked), asked, 1))
    prompts = lengths(adapter, asked)
    assert done.shared_tokens == sum(2 * common(prompts[n : n + 3]) for n in (0, 3, 6))
    assert done.row_steps == sum(tokens - 1 for *_, tokens in found)


def test_neighbours_in_another_batch_share_nothing(
    adapter: TransformersAdapter, pictures: list[Path]
) -> None:
    asked = [question(path, text + OPTIONS, 2) for text in TEXTS[:2] for path in pictures]
    before = adapter.work.copy()
    found = logprobs(asking.closed(adapter, asked, 3))
    assert adapter.work.since(before).shared_tokens == 0
    assert (found - logprobs(asking.closed(plainly(adapter, asked), asked, 1))).abs().max() < 1e-5


def test_a_template_that_puts_the_question_before_the_picture(
    checkpoints: list[Path], suite: Suite, tmp_path: Path
) -> None:
    directory = Path(shutil.copytree(checkpoints[0], tmp_path / "words-first"))
    template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
        "{% for c in m['content'] %}{% if c['type'] == 'text' %}{{ c['text'] }}{% endif %}"
        "{% endfor %}<image>\n<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
    )
    (directory / "chat_template.jinja").write_text(template)
    closed = asking.closed_questions(suite)
    opened = asking.open_questions(suite, 6)
    plain = loaded(directory)
    wanted = logprobs(asking.closed(plain, closed, 1))
    texts = words(asking.opened(plain, opened, 1))
    adapter = loaded(directory)
    (note,) = prove(adapter, asking.probe_of(closed, opened))
    assert "no common beginning that holds the picture" in note
    assert adapter.abilities.batch and adapter.abilities.stepwise and not adapter.abilities.share
    before = adapter.work.copy()
    scored, answers = asking.paired(adapter, closed, opened, 4)
    assert (logprobs(scored) - wanted).abs().max() < 1e-5
    assert words(answers) == texts
    assert adapter.work.since(before).shared_tokens == 0


def test_prompts_that_share_with_some_and_not_with_others_are_prefilled_whole(
    adapter: TransformersAdapter, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One item's prompt begins in another way than its neighbour's about the same picture."""
    real = type(adapter.inputs).render

    def render(self: object, text: str) -> str:
        return ("Look!" if "Why" in text else "") + real(self, text)  # type: ignore[arg-type]

    monkeypatch.setattr(type(adapter.inputs), "render", render)
    asked = [question(pictures[0], text + OPTIONS, 2) for text in TEXTS]
    before = adapter.work.copy()
    found = logprobs(asking.closed(adapter, asked, 4))
    done = adapter.work.since(before)
    assert (found - logprobs(asking.closed(plainly(adapter, asked), asked, 1))).abs().max() < 1e-5
    assert (done.shared_tokens, done.forwards) == (0, 1)
