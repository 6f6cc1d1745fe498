"""The same items through lm-evaluation-harness and lmms-eval, each in a throw-away environment.

``python -m bench.peers`` in ``tests``. Installs with pip, about 2 GB each; ``--dry-run`` only lists
what. ``make bench`` and ``make test`` never need this.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import tiny
import torch
import transformers

from bench.clock import cpu_seconds
from bench.stage import BASE, TINY, Name, Stage, answered
from ctv_engine.runtime.answering import Worker
from ctv_engine.runtime.messages import Task, Unit
from ctv_engine.suite import closed_text, open_text

PEERS: dict[str, tuple[str, ...]] = {
    "lm-eval": ("lm-eval", "accelerate", "pillow"),
    "lmms-eval": ("lmms-eval", "decord"),  # its llava_hf imports decord and does not ask for it
}
CAP = 16
EQUAL = 1e-4
"""Natural-log probability, float32, between two libraries' ways to the same number."""


def packages(peer: str) -> list[str]:
    """Return what pip is asked for: the peer, and our torch and transformers."""
    ours = [f"torch=={torch.__version__}", f"transformers=={transformers.__version__}"]
    return [*ours, *PEERS[peer]]


def list_packages(peer: str) -> str:
    """Return what would be installed, without installing it."""
    with tempfile.TemporaryDirectory() as home:
        report = Path(home) / "report.json"
        options = ["--dry-run", "--ignore-installed", "--quiet", "--report", str(report)]
        command = [sys.executable, "-m", "pip", "install", *options, *packages(peer)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
    names = sorted(f"{one['metadata']['name']}=={one['metadata']['version']}" for one in found)
    return f"{peer}: {len(names)} packages\n  " + "\n  ".join(names)


def make_environment(directory: Path, peer: str) -> Path:
    """Install a peer; return its interpreter."""
    python = directory / "bin" / "python"
    if not python.exists():
        venv.create(directory, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--quiet", *packages(peer)]
        subprocess.run(command, check=True)
        if subprocess.run(
            [str(python), "-c", "import torchvision"], capture_output=True
        ).returncode:
            # One built for another torch fails every import of a processor; without it they use
            # Pillow.
            remove = [str(python), "-m", "pip", "uninstall", "--quiet", "--yes", "torchvision"]
            subprocess.run(remove, check=True)
            print(f"{peer}: without torchvision, whose build here does not fit torch")
    return python


def ours(stage: Stage) -> dict[str, Any]:
    """Return our answers to the items and the CPU seconds of both tasks, pictures included."""
    worker = stage.worker(cache=False)
    lengths, _ = stage.measured(worker)
    found: dict[str, Any] = {}
    tasks: tuple[Task, ...] = ("closed", "open")
    for task in tasks:
        units = [
            stage.unit(number, 1, task, batch)
            for number, batch in enumerate(stage.plan(task, lengths), start=1)
        ]
        results = [one for unit in units for one in answered(worker, unit).results]
        by_name = {one.key: one for one in results}
        names: list[Name] = [(item.dataset, item.key) for item in stage.suite.items]
        found[task] = [by_name[name] for name in names]
        found[f"{task} cpu_s"] = cpu_seconds(partial(_again, worker, units))
    return found


def _again(worker: Worker, units: Sequence[Unit]) -> None:
    for unit in units:
        answered(worker, unit)


def job(stage: Stage) -> dict[str, Any]:
    """Return the items as a peer gets them."""
    suite = stage.suite
    return {
        "checkpoint": str(stage.checkpoint()),
        "cap": CAP,
        "batch": stage.size.slots,
        # One template for contents in parts, as the engine renders them, and for plain text.
        "template": "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}"
        + tiny.TEMPLATE[tiny.TEMPLATE.index("<|im_end|>") :],
        "items": [
            {
                "image": str(suite.image_path(item)),
                "closed": closed_text(item),
                "open": open_text(item, suite.dataset(item.dataset)),
                "options": len(item.options),
            }
            for item in suite.items
        ],
    }


def verdict(way: str, found: dict[str, Any], reference: dict[str, Any]) -> str:
    """Return in words what a peer did with the items."""
    if "says" in found:
        return f"cannot: {found['says']}"
    task = way.rpartition(" ")[2]
    ratio = f"{found['cpu_s'] / reference[f'{task} cpu_s']:.2f} x our CPU seconds"
    if task == "open":
        same = sum(
            theirs.strip() == mine.answer
            for theirs, mine in zip(found["values"], reference["open"], strict=True)
        )
        return f"{ratio}, {same} of {len(found['values'])} texts equal ours"
    wanted = [value for mine in reference["closed"] for value in mine.option_logprobs]
    worst = max(abs(a - b) for a, b in zip(found["values"], wanted, strict=True))
    if worst < EQUAL:
        return f"{ratio}, option log-probabilities equal ours within {worst:.1g}"
    return f"{ratio}, but its values are up to {worst:.3g} nats off the options' log-probabilities"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the peers; return 1 if one of them could not be started at all."""
    parser = argparse.ArgumentParser(prog="bench.peers", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="list what would be installed")
    parser.add_argument("--only", nargs="+", choices=sorted(PEERS), default=list(PEERS))
    parser.add_argument("--size", choices=["tiny", "100M"], default="tiny")
    parser.add_argument("--keep", type=Path, help="environments to make once and use again")
    options = parser.parse_args(arguments)
    if options.dry_run:
        for peer in options.only:
            print(list_packages(peer))
        return 0
    failed = False
    with tempfile.TemporaryDirectory(prefix="ctv-peers-") as temporary:
        home = Path(temporary)
        size = BASE if options.size == "100M" else TINY
        stage = Stage(home, replace(size, cap=CAP, end_every=0))
        reference = ours(stage)
        told = home / "job.json"
        told.write_text(json.dumps(job(stage)), encoding="utf-8")
        print(
            f"{stage.config}, answers of {CAP} tokens; float32, one thread, pictures decoded anew"
        )
        for peer in options.only:
            python = make_environment((options.keep or home) / peer, peer)
            child = Path(__file__).with_name("peer_child.py")
            done = subprocess.run(
                [str(python), str(child), peer, str(told)], stdout=subprocess.PIPE, text=True
            )
            if done.returncode:
                print(f"{peer}: its process ended with status {done.returncode}, see above")
                failed = True
                continue
            for way, found in json.loads(done.stdout.splitlines()[-1]).items():
                print(f"{peer} {way}: {verdict(way, found, reference)}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
