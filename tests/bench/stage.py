"""What the benchmarks run on: checkpoints with random weights, pictures, questions, a worker."""

from __future__ import annotations

import io
import random
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import tiny
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from ctv_engine.models.processor_files import processor_digest
from ctv_engine.models.transformers_adapter import TransformersAdapter
from ctv_engine.runtime.answering import Worker, WorkerSettings, silence
from ctv_engine.runtime.messages import Batch, Checkpoint, Task, Unit, UnitDone
from ctv_engine.runtime.plan import plan
from ctv_engine.suite import Dataset, DraftItem, Suite, write_suite

Name = tuple[str, str]
TOKEN_BUDGET = 8192
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>")


@dataclass(frozen=True)
class Size:
    """A LLaVA. ``side`` and ``patch`` are in pixels, ``picture`` is what is on disk.

    One token in ``end_every`` ends an answer: so the lengths of answers are spread, as they are in
    a trained model, and are the same in every run. 0: none does, every answer runs to its cap.
    ``spread`` is the weights' standard deviation, wider than a trainer's, so that pictures and
    questions move the answers.
    """

    name: str
    side: int
    patch: int
    vision_hidden: int
    vision_layers: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int
    vocabulary: int
    picture: tuple[int, int]
    items: int
    cap: int
    end_every: int
    slots: int
    spread: float

    @property
    def image_tokens(self) -> int:
        """Tokens that stand for a picture."""
        return int((self.side // self.patch) ** 2)


TINY = Size(
    name="tiny",
    side=32,
    patch=16,
    vision_hidden=32,
    vision_layers=1,
    hidden=32,
    intermediate=64,
    layers=2,
    heads=2,
    key_value_heads=2,
    vocabulary=400,
    picture=(320, 240),
    items=24,
    cap=24,
    end_every=12,
    slots=8,
    spread=0.3,
)
BASE = Size(
    name="100M",
    side=336,
    patch=14,
    vision_hidden=384,
    vision_layers=6,
    hidden=768,
    intermediate=2048,
    layers=5,
    heads=12,
    key_value_heads=4,
    vocabulary=36_000,
    picture=(1024, 768),
    items=4,
    cap=48,
    end_every=64,
    slots=8,
    spread=0.05,
)
"""98.7 million weights."""


def save_checkpoint(directory: Path, size: Size, seed: int) -> Path:
    """Save model and processor; equal seeds give equal weights."""
    silence()
    processor = _processor(size)
    tokenizer = processor.tokenizer
    torch.manual_seed(seed)
    vision = transformers.SiglipVisionConfig(
        hidden_size=size.vision_hidden,
        intermediate_size=4 * size.vision_hidden,
        num_hidden_layers=size.vision_layers,
        num_attention_heads=max(2, size.vision_hidden // 64),
        image_size=size.side,
        patch_size=size.patch,
        vision_use_head=False,
    )
    text = transformers.LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.key_value_heads,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        max_position_embeddings=2048,
        initializer_range=size.spread,
    )
    model = transformers.LlavaForConditionalGeneration(
        transformers.LlavaConfig(
            vision_config=vision,
            text_config=text,
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
            image_seq_length=size.image_tokens,
            vision_feature_select_strategy="full",
            vision_feature_layer=-1,
            tie_word_embeddings=False,
        )
    )
    words = range(len(SPECIAL), size.vocabulary)
    count = size.vocabulary // size.end_every if size.end_every else 0
    ends = random.Random(0).sample(words, count)
    model.generation_config.eos_token_id = [2, *sorted(ends)]
    model.generation_config.pad_token_id = 0
    model.eval().save_pretrained(directory)
    processor.save_pretrained(directory)
    return directory


def _processor(size: Size) -> Any:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        _made_up_words(3 * size.vocabulary),
        trainers.BpeTrainer(
            vocab_size=size.vocabulary,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=list(SPECIAL),
            show_progress=False,
        ),
    )
    return transformers.LlavaProcessor(
        image_processor=transformers.SiglipImageProcessorPil(
            size={"height": size.side, "width": size.side}
        ),
        tokenizer=transformers.PreTrainedTokenizerFast(
            tokenizer_object=bpe,
            bos_token="<|im_start|>",
            eos_token="<|im_end|>",
            pad_token="<|endoftext|>",
            additional_special_tokens=["<image>"],
            padding_side="left",
        ),
        patch_size=size.patch,
        vision_feature_select_strategy="full",
        image_token="<image>",
        num_additional_image_tokens=0,
        chat_template=tiny.TEMPLATE,
    )


def _made_up_words(count: int) -> list[str]:
    rng = random.Random(0)
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    return ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(count)]


def save_suite(directory: Path, size: Size, items: int | None = None) -> Suite:
    """Write a paired suite: one picture and one question an item, of different lengths."""
    rng = random.Random(1)
    words = sorted(set(_made_up_words(4000)))
    drafts = []
    for number in range(size.items if items is None else items):
        options = rng.sample(words, 4)
        drafts.append(
            DraftItem(
                dataset="asked",
                key=f"{number:04d}",
                question=" ".join(rng.sample(words, rng.randint(3, 24))) + "?",
                image=_photo(size.picture, number),
                answers=(options[0],),
                options=tuple(options),
                gold_index=0,
            )
        )
    return write_suite(
        directory,
        name=directory.name,
        kind="paired",
        datasets=[Dataset("asked", "exact_match", size.cap, "One word.")],
        items=drafts,
    )


def _photo(shape: tuple[int, int], seed: int) -> bytes:
    """Return a JPEG of soft coloured noise, about as heavy to decode as a photograph."""
    small = Image.frombytes("RGB", (24, 18), random.Random(seed).randbytes(3 * 24 * 18))
    out = io.BytesIO()
    small.resize(shape, Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


@dataclass
class Stage:
    """Checkpoints and a suite of one size under ``home``, made when they are first asked for."""

    home: Path
    size: Size
    items: int | None = None
    _saved: dict[int, Path] = field(default_factory=dict)

    def checkpoint(self, seed: int = 1) -> Path:
        """Return a checkpoint directory."""
        if seed not in self._saved:
            self._saved[seed] = save_checkpoint(
                self.home / f"{self.size.name}-{seed}", self.size, seed
            )
        return self._saved[seed]

    @cached_property
    def suite(self) -> Suite:
        """The questions."""
        return save_suite(self.home / f"suite-{self.size.name}", self.size, self.items)

    @property
    def config(self) -> str:
        """What a table calls it."""
        count = len(self.suite.items)
        return f"{self.size.name}, {self.size.image_tokens} image tokens, {count} items"

    @property
    def whole(self) -> Batch:
        """All items in one batch."""
        suite = self.suite
        sets = tuple(suite.dataset(item.dataset) for item in suite.items)
        return Batch(0, suite.items, sets, suite.directory)

    def adapter(self, seed: int = 1) -> TransformersAdapter:
        """Return an adapter with a checkpoint resident, in float32."""
        torch.set_num_threads(1)
        made = TransformersAdapter(
            torch.device("cpu"),
            "float32",
            slots=self.size.slots,
            refill=max(1, self.size.slots // 4),
        )
        made.load(self.checkpoint(seed))
        return made

    def plan(self, task: Task, lengths: dict[Name, int]) -> tuple[Batch, ...]:
        """Return the frozen batches of a task."""
        return plan(self.suite, task, lengths, token_budget=TOKEN_BUDGET, max_rows=self.size.slots)

    def worker(self, cache: bool) -> Worker:
        """Return a worker that has nothing resident yet, with a new input cache or without one."""
        directory = Path(tempfile.mkdtemp(prefix="cache-", dir=self.home)) if cache else None
        return Worker(
            WorkerSettings(
                device="cpu:0",
                dtype="float32",
                processor=None,
                slots=self.size.slots,
                batch_tokens=TOKEN_BUDGET,
                cache_directory=directory,
                cache_bytes=2**30,
            )
        )

    def unit(self, number: int, seed: int, task: Task, batch: Batch) -> Unit:
        """Return a unit as a scheduler leases it."""
        directory = self.checkpoint(seed)
        digest = processor_digest(directory)
        pinned = Checkpoint(seed, seed, directory, f"weights-{seed}", digest)
        probe = self.whole.part(slice(1))
        return Unit(number, seed, pinned, task, batch, attempt=1, probe=probe)

    def measured(self, worker: Worker, seed: int = 1) -> tuple[dict[Name, int], UnitDone]:
        """Have a worker tell the lengths of all closed prompts; return them and its message."""
        done = answered(worker, self.unit(0, seed, "measure", self.whole))
        return {one.key: one.closed or 0 for one in done.lengths}, done


def answered(worker: Worker, unit: Unit) -> UnitDone:
    """Run a unit that must succeed."""
    done = worker.run(unit, lambda message: None)
    assert isinstance(done, UnitDone), done
    return done
