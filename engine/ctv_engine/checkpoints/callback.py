"""For the transformers ``Trainer``: a callback that marks each checkpoint once it is whole.

::

    from ctv_engine.checkpoints.callback import MarkComplete
    trainer = Trainer(…, callbacks=[MarkComplete()])
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ctv_engine.checkpoints.manifest import mark_complete


class MarkComplete(TrainerCallback):  # type: ignore[misc]
    """Writes the manifest after a save, on the one process that may; never stops the training."""

    def on_save(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Mark the checkpoint that was saved last.

        A directory that is gone already (``save_total_limit``) or can't be written to is left as it
        is: the watcher has other rules for it.
        """
        if not state.is_world_process_zero:
            return
        place = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        try:
            mark_complete(place, state.global_step)
        except OSError as error:
            print(f"ctv-tui: {place} was not marked as complete: {error}", flush=True)
