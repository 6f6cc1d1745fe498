"""Peak memory of one prefill, each way in a process of its own.

``python -m bench.memory CHECKPOINT SUITE ROWS WAY`` prints what one way needs as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

from bench.report import Result
from bench.stage import Stage

Way = Literal["last", "all", "kept"]
"""Logits of the last position, as the closed task has them; of all positions; KV cache kept."""
PEAK, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peaks(stage: Stage) -> list[Result]:
    """Compare the ways by how far they raise the resident set above that of the loaded model."""
    if not RESET.exists():
        print("memory: not measured, this system does not tell a process's peak", file=sys.stderr)
        return []
    found = {way: _in_a_process(stage, way) for way in get_args(Way)}
    last, everything, kept = (found[way] for way in get_args(Way))
    config, against = stage.config, "prefill with last-position logits"
    return [
        Result("peak memory: last position", config, last["peak"], "B", "above the loaded model"),
        Result("peak memory: all positions", config, everything["peak"] / last["peak"], "x",
               against),
        Result("peak memory: KV cache kept", config, kept["peak"] / last["peak"], "x", against),
        Result("KV cache, closed task", config, last["cache"], "B", "held after the prefill", 0.0),
        Result("KV cache, open twin follows", config, kept["cache"], "B", "held after the prefill"),
    ]  # fmt: skip


def _in_a_process(stage: Stage, way: str) -> dict[str, int]:
    arguments = [stage.checkpoint(), stage.suite.directory, len(stage.suite.items), way]
    done = subprocess.run(
        [sys.executable, "-m", "bench.memory", *map(str, arguments)],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(checkpoint: Path, suite_directory: Path, rows: int, way: str) -> dict[str, int]:
    """Return bytes: ``peak`` resident above what was resident before, ``cache`` held after it."""
    import torch

    from ctv_engine.models.transformers_adapter import TransformersAdapter
    from ctv_engine.runtime.answering import questions, silence
    from ctv_engine.runtime.messages import Batch
    from ctv_engine.suite import read_suite

    silence()
    torch.set_num_threads(1)
    adapter = TransformersAdapter(torch.device("cpu"), "float32")
    adapter.load(checkpoint)
    adapter.abilities.batch = True
    suite = read_suite(suite_directory)
    items = suite.items[:rows]
    batch = Batch(0, items, tuple(suite.dataset(i.dataset) for i in items), suite.directory)

    def inputs(questions_: list[Any]) -> dict[str, torch.Tensor]:
        return adapter.on_device(adapter.prepare(questions_, len(questions_))[0].prepared)

    @torch.inference_mode()
    def all_positions(made: dict[str, torch.Tensor]) -> object:
        return adapter.forward.model(**made, use_cache=False).logits[:, -1].float()

    ways: dict[str, Callable[[dict[str, torch.Tensor]], object]] = {
        "last": adapter.forward.last_logits,
        "all": all_positions,
        "kept": adapter.forward.prefill,
    }
    asked = questions(batch, ("closed",))
    ways[way](inputs(asked[:1]))  # what libraries allocate once is not the batch's
    made = inputs(asked)
    before = _status("VmRSS")
    RESET.write_text("5")  # forget the peak so far
    result = ways[way](made)
    peak = _status("VmHWM") - before
    layers = result[1].cache.layers if isinstance(result, tuple) else ()
    return {"peak": peak, "cache": sum(one.keys.nbytes + one.values.nbytes for one in layers)}


def _status(name: str) -> int:
    """Return a size of this process in bytes."""
    for line in PEAK.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


if __name__ == "__main__":
    where, questions_in, count, how = sys.argv[1:]
    print(json.dumps(measure(Path(where), Path(questions_in), int(count), how)))
