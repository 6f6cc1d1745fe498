"""The demo's suites and training set: real, balanced, disjoint, and the same every time."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from pathlib import Path

import pytest

pytest.importorskip("easy_vqa")
pytest.importorskip("sklearn")
pytest.importorskip("vega_datasets")

from PIL import Image

from ctv_engine.demo.charts import PALETTE, Bars
from ctv_engine.demo.data import GOLD_ITEMS, SUITE_ITEMS, prepare, read_train
from ctv_engine.demo.examples import DATASETS
from ctv_engine.demo.shapes import COLOURS
from ctv_engine.suite import Suite, read_suite

NAMES = [dataset.name for dataset in DATASETS]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory filled by ``prepare``."""
    directory = tmp_path_factory.mktemp("demo")
    prepare(directory)
    return directory


@pytest.fixture(scope="module")
def suites(demo: Path) -> dict[str, Suite]:
    return {name: read_suite(demo / name) for name in ("suite", "gold")}


def test_every_dataset_has_its_share(suites: dict[str, Suite]) -> None:
    for name, size in (("suite", SUITE_ITEMS), ("gold", GOLD_ITEMS)):
        counts = Counter(item.dataset for item in suites[name].items)
        assert counts == dict.fromkeys(NAMES, size)
    assert suites["suite"].kind == "paired"
    assert suites["gold"].kind == "gold"


def test_suites_and_training_share_no_picture(demo: Path, suites: dict[str, Suite]) -> None:
    seen: dict[bytes, str] = {}
    for name, suite in suites.items():
        for path in {suite.image_path(item) for item in suite.items}:
            pixels = hashlib.sha256(Image.open(path).convert("RGB").tobytes()).digest()
            assert seen.setdefault(pixels, name) == name
    pictures, examples = read_train(demo / "train")
    for index in {example.picture for example in examples}:
        assert hashlib.sha256(pictures[index].tobytes()).digest() not in seen


@pytest.mark.parametrize("name", ["suite", "gold"])
def test_no_letter_is_favoured(suites: dict[str, Suite], name: str) -> None:
    places: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for item in suites[name].items:
        assert item.gold_index is not None
        places[item.dataset][item.gold_index] += 1
        assert item.options[item.gold_index] == item.answers[0]
    for dataset, counts in places.items():
        options = {"yesno": 2, "shape": 3}.get(dataset, 4)
        assert set(counts) == set(range(options))
        assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("name", ["suite", "gold"])
def test_yes_and_no_are_balanced_within_each_wording(suites: dict[str, Suite], name: str) -> None:
    balance: Counter[str] = Counter()
    for item in suites[name].items:
        if item.dataset == "yesno":
            balance[item.question] += 1 if item.answers[0] == "yes" else -1
    assert balance
    assert set(balance.values()) == {0}


@pytest.mark.parametrize("name", ["suite", "gold"])
def test_no_question_is_negated(suites: dict[str, Suite], name: str) -> None:
    for item in suites[name].items:
        assert not {"no", "not"} & set(item.question.split())


def test_caption_options_do_not_betray_the_key(suites: dict[str, Suite]) -> None:
    captions = [item for item in suites["suite"].items if item.dataset == "caption"]
    answers = {item.answers[0] for item in captions}
    for item in captions:
        colours = [word for option in item.options for word in option.split() if word in COLOURS]
        assert len(colours) == len(set(colours)) == len(item.options)
    # Options are captions of other pictures of the same part: what is a key here is wrong there.
    others = {o for item in captions for o in item.options if o != item.answers[0]}
    assert len(answers & others) > len(answers) / 4


def test_chart_answers_come_from_the_numbers() -> None:
    bars = Bars((3.0, 9.5, 1.25, 7.0), ("red", "teal", "blue", "gray"))
    assert bars.tallest() == "teal"
    assert bars.facts() == ("4", "teal")


def test_chart_colour_options_all_occur_in_the_picture(suites: dict[str, Suite]) -> None:
    suite = suites["suite"]
    asked = [i for i in suite.items if i.dataset == "charts" and i.answers[0] in PALETTE]
    assert asked
    for item in asked:
        colours = {
            c for _, c in Image.open(suite.image_path(item)).convert("RGB").getcolors() or []
        }
        assert {PALETTE[option] for option in item.options} <= colours


def test_same_seed_same_bytes(demo: Path, suites: dict[str, Suite], tmp_path: Path) -> None:
    again = prepare(tmp_path)
    assert again.suite.digest == suites["suite"].digest
    assert again.gold.digest == suites["gold"].digest
    for name in ("questions.jsonl", "pictures.npy"):
        assert (tmp_path / "train" / name).read_bytes() == (demo / "train" / name).read_bytes()


def test_training_answers_are_never_among_their_distractors(demo: Path) -> None:
    _, examples = read_train(demo / "train")
    for example in examples:
        for distractors in example.distractor_sets:
            assert example.answer not in distractors
            assert len(set(distractors)) == len(distractors)


def test_missing_training_data_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"ctv_engine\.demo\.data --out"):
        read_train(tmp_path)
