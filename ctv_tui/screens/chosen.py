"""Choosing the checkpoint that a tab is about; the tabs that have one share the choice."""

from __future__ import annotations

from ctv_tui.data import Snapshot
from ctv_tui.data.wishes import Wishes
from ctv_tui.data.work import checkpoints_begun, looked_at
from ctv_tui.screens.actions import Action, pane_action


def checkpoint_actions(tab: str) -> tuple[Action, ...]:
    """Return the actions ``older`` and ``newer`` of a tab."""
    return (
        pane_action("older", ("left_square_bracket",), "[", "older checkpoint", tab=tab),
        pane_action("newer", ("right_square_bracket",), "]", "newer checkpoint", tab=tab),
    )


def choose_checkpoint(snapshot: Snapshot | None, wishes: Wishes, by: int) -> None:
    """Wish for the checkpoint ``by`` places further; at the newest one newer ones are followed."""
    if snapshot is None:
        return
    places = checkpoints_begun(snapshot.evaluations)
    pair = looked_at(snapshot.evaluations, wishes.now.checkpoint_id)
    if not pair:
        return
    wanted = max(0, min(len(places) - 1, places.index(pair[0].checkpoint_id) + by))
    newest = wanted == len(places) - 1
    wishes.change(checkpoint_id=None if newest else places[wanted])
