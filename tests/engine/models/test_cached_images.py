"""Pictures from the cache against the processor's own, for every family."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import asking
import families
import pytest
import torch
from asking import loaded, logprobs, prove, question
from PIL import Image

from ctv_engine.models.cached_images import PictureError
from ctv_engine.models.input_cache import Entry, InputCache
from ctv_engine.models.inputs import Question
from ctv_engine.models.processors import load_processor
from ctv_engine.models.transformers_adapter import TransformersAdapter

torch.set_num_threads(1)

ROOM = 10**9


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("families")


@pytest.fixture(scope="module", params=families.FAMILIES)
def directory(request: pytest.FixtureRequest, home: Path) -> Path:
    return families.build_family(str(request.param), home / str(request.param))


@pytest.fixture(scope="module")
def llava(home: Path) -> Path:
    return families.build_family("llava", home / "alone" / "llava")


@pytest.fixture(scope="module")
def questions(home: Path) -> list[Question]:
    """Two questions about each of six pictures of different shape."""
    return [
        question(picture, f"{words}\nA. red\nB. blue", 2)
        for picture in families.make_pictures(home / "pictures")
        for words in ("What?", "What is shown in the picture? Answer with one word.")
    ]


def with_cache(directory: Path, cache: Path | None) -> TransformersAdapter:
    return loaded(directory, cache=InputCache(cache, ROOM) if cache else None)


def by_processor(directory: Path, questions: Sequence[Question]) -> dict[str, torch.Tensor]:
    """Return what the checkpoint's own processor makes of a batch, with real pictures."""
    processor = load_processor(directory).processor
    template = processor.chat_template or processor.tokenizer.chat_template
    prompts = [
        processor.apply_chat_template(
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": q.text}]}],
            chat_template=template,
            add_generation_prompt=True,
            tokenize=False,
        )
        for q in questions
    ]
    made = processor(
        text=prompts,
        images=[[Image.open(q.picture.path).convert("RGB")] for q in questions],
        padding=True,
        return_tensors="pt",
        add_special_tokens=not prompts[0].startswith("<s>"),
    )
    return {n: v for n, v in made.items() if n != "labels" and isinstance(v, torch.Tensor)}


def check_equal(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype, name
        assert found[name].shape == value.shape, name
        assert torch.equal(found[name], value), name


def shuffled(questions: Sequence[Question]) -> list[Question]:
    """Return the questions in another order: the company of a picture differs."""
    return [*questions[5:], *questions[:5]]


def test_a_batch_is_bit_for_bit_what_the_processor_makes_of_it(
    directory: Path, questions: list[Question], tmp_path: Path
) -> None:
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):  # none, empty, full
        inputs = with_cache(directory, cache).inputs
        for asked in (questions, shuffled(questions)[:7], questions[3:4]):
            check_equal(inputs.build(asked, None).inputs, by_processor(directory, asked))
        assert inputs.check_cache(questions) is None
        assert inputs.uses_cache


def test_nothing_is_decoded_a_second_time(
    directory: Path, questions: list[Question], tmp_path: Path
) -> None:
    first = with_cache(directory, tmp_path)
    scored = logprobs(asking.closed(first, questions, 4))
    assert (first.work.images_decoded, first.work.images_reused) == (6, 6)
    asking.closed(first, questions, 4)
    assert (first.work.images_decoded, first.work.images_reused) == (6, 18)
    for number, second in enumerate((with_cache(directory, tmp_path),) * 2, start=1):
        assert logprobs(asking.closed(second, questions, 4)).equal(scored)
        assert (second.work.images_decoded, second.work.images_reused) == (0, 12 * number)


def test_a_swap_of_weights_decodes_nothing(
    directory: Path, questions: list[Question], home: Path, tmp_path: Path
) -> None:
    other = families.build_family(directory.name, home / "other" / directory.name, seed=1)
    adapter = with_cache(directory, tmp_path)
    asking.closed(adapter, questions, 4)
    adapter.load(other)
    before = adapter.work.copy()
    found = logprobs(asking.closed(adapter, questions, 4))
    assert adapter.work.since(before).images_decoded == 0
    assert found.equal(logprobs(asking.closed(loaded(other), questions, 4)))


def test_without_a_cache_every_batch_decodes_its_pictures(
    llava: Path, questions: list[Question]
) -> None:
    adapter = loaded(llava)
    for size, decoded in ((1, 12), (4, 6)):
        adapter.abilities.batch = size > 1
        before = adapter.work.copy()
        asking.closed(adapter, questions, size)
        done = adapter.work.since(before)
        assert (done.images_decoded, done.images_reused) == (decoded, 12 - decoded)


def test_the_beginnings_of_shared_prompts_decode_nothing_again(
    llava: Path, questions: list[Question]
) -> None:
    adapter = loaded(llava)
    prove(adapter, [*questions[:2], question(questions[0].picture.path, "What?", cap=4)])
    assert adapter.abilities.share
    before = adapter.work.copy()
    asking.closed(adapter, questions, 12)
    done = adapter.work.since(before)
    assert done.shared_tokens > 0
    assert done.images_decoded == 6


# --- what an entry depends on -------------------------------------------------------------------


def test_the_content_of_a_picture_counts_not_its_place(
    llava: Path, questions: list[Question], tmp_path: Path
) -> None:
    adapter = with_cache(llava, tmp_path / "cache")
    asking.closed(adapter, questions[:1], 1)
    copy = Path(shutil.copy(questions[0].picture.path, tmp_path / "copy.png"))
    asking.closed(adapter, [question(copy, "What?\nA. red\nB. blue", 2)], 1)
    assert (adapter.work.images_decoded, adapter.work.images_reused) == (1, 1)
    shutil.copy(questions[2].picture.path, copy)  # another picture in the same place
    asking.closed(adapter, [question(copy, "What?\nA. red\nB. blue", 2)], 1)
    assert (adapter.work.images_decoded, adapter.work.images_reused) == (2, 1)


def test_another_processor_has_entries_of_its_own(
    llava: Path, questions: list[Question], tmp_path: Path
) -> None:
    changed = Path(shutil.copytree(llava, tmp_path / "changed"))
    values = json.loads((changed / "processor_config.json").read_text())
    values["image_processor"]["image_mean"] = [0.1, 0.2, 0.3]
    (changed / "processor_config.json").write_text(json.dumps(values))
    asking.closed(with_cache(llava, tmp_path / "cache"), questions, 4)
    adapter = with_cache(changed, tmp_path / "cache")
    found = adapter.inputs.build(questions, None).inputs
    assert (adapter.work.images_decoded, adapter.work.images_reused) == (6, 6)
    check_equal(found, by_processor(changed, questions))


def test_another_version_of_the_library_has_entries_of_its_own(
    llava: Path, questions: list[Question], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking.closed(with_cache(llava, tmp_path), questions, 4)
    monkeypatch.setattr("ctv_engine.models.cached_images.transformers.__version__", "99.0.0")
    adapter = with_cache(llava, tmp_path)
    asking.closed(adapter, questions, 4)
    assert (adapter.work.images_decoded, adapter.work.images_reused) == (6, 6)


# --- faults -------------------------------------------------------------------------------------


def test_a_damaged_entry_is_made_again(
    llava: Path, questions: list[Question], tmp_path: Path
) -> None:
    scored = logprobs(asking.closed(with_cache(llava, tmp_path), questions, 4))
    entries = sorted(tmp_path.rglob("*.pixels"))
    assert len(entries) == 6
    for place, entry in enumerate(entries[:3]):
        content = bytearray(entry.read_bytes())
        content[-1 - place] ^= 0xFF
        entry.write_bytes(content)
    adapter = with_cache(llava, tmp_path)
    assert logprobs(asking.closed(adapter, questions, 4)).equal(scored)
    assert (adapter.work.images_decoded, adapter.work.images_reused) == (3, 9)
    again = with_cache(llava, tmp_path)
    asking.closed(again, questions, 4)
    assert again.work.images_decoded == 0


def test_a_cache_that_can_not_be_written_says_so_and_work_goes_on(
    llava: Path, questions: list[Question], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("in the way")
    adapter = with_cache(llava, tmp_path / "cache")
    found = logprobs(asking.closed(adapter, questions, 4))
    assert found.equal(logprobs(asking.closed(loaded(llava), questions, 4)))
    assert adapter.work.images_decoded == 12
    assert adapter.cache is not None and adapter.cache.fault is not None
    assert "can't be written" in adapter.cache.fault


def test_a_broken_picture_is_named(llava: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    asked = question(broken, "What?", 2)
    inputs = loaded(llava).inputs
    with pytest.raises(PictureError, match=r"broken\.png can't be decoded") as caught:
        inputs._process([asked])
    assert caught.value.picture == asked.picture
    assert inputs.lengths([asked]) == [None]


def test_lengths_are_those_of_the_prompts(directory: Path, questions: list[Question]) -> None:
    inputs = loaded(directory).inputs
    wanted = [by_processor(directory, [q])["input_ids"].shape[1] for q in questions]
    assert inputs.lengths(questions) == wanted
    assert len(set(wanted)) > 1


def test_another_thread_may_let_go_at_any_time(
    llava: Path, questions: list[Question], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next batch is prepared while the one before ends, and the same pictures serve both."""
    inputs = with_cache(llava, tmp_path).inputs
    real = InputCache.get

    def interrupted(cache: InputCache, key: str) -> Entry | None:
        inputs.images.let_go()
        return real(cache, key)

    monkeypatch.setattr(InputCache, "get", interrupted)
    check_equal(inputs.build(questions, None).inputs, by_processor(llava, questions))
