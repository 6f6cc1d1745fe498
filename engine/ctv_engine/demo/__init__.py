"""A miniature of the real experiment: data, a tiny VLM, its seed and its trainer.

Everything the engine does can be tried on a laptop with it: ``data`` writes the suites and the
training set, ``train`` writes checkpoints, and neither knows of the engine that scores them.
Importing this package is cheap: torch is loaded only by ``model``, ``seed`` and ``train``.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["seed_directory"]

_PACKAGE = Path(__file__).resolve().parent


def seed_directory() -> Path:
    """Return the directory of the committed seed model (an ordinary transformers checkpoint).

    An installed package carries it in ``ctv_engine/demo/seed_model``, a clone in
    ``assets/demo-seed``.

    Raises:
        FileNotFoundError: neither place holds a model.
    """
    places = (_PACKAGE / "seed_model", _PACKAGE.parents[2] / "assets" / "demo-seed")
    for place in places:
        if (place / "model.safetensors").is_file():
            return place
    raise FileNotFoundError(
        f"no seed model in {' or '.join(map(str, places))}; make one with "
        "`python -m ctv_engine.demo.seed --work DIR --out assets/demo-seed`"
    )
