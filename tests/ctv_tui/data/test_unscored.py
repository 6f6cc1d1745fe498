"""An answer that waits for a judge: shown with the reason, then with its score."""

from __future__ import annotations

import shutil
from pathlib import Path

from waiting import wait_until

from ctv_engine.store.writer import Writer
from ctv_tui.data import Snapshot
from ctv_tui.data.item_rows import ItemQuery
from ctv_tui.data.tail import Tail
from ctv_tui.data.wishes import Wishes
from ctv_tui.widgets.item_view import item_lines

WAITS = "waits for a judge: \x1b[31mname one"


def test_an_answer_without_a_score_says_why_until_it_has_one(
    items_recording: tuple[Path, float], tmp_path: Path
) -> None:
    db = tmp_path / "run.db"
    shutil.copy(items_recording[0], db)
    writer = Writer(db)
    ((item, step, evaluation),) = writer.query(
        "SELECT p.item_id, c.step, e.id FROM predictions p JOIN evaluations e"
        " ON e.id = p.evaluation_id JOIN checkpoints c ON c.id = e.checkpoint_id"
        " WHERE e.mode = 'open' AND p.status = 'ok' AND e.state = 'done' ORDER BY c.step DESC, p.id"
        " LIMIT 1"
    )

    def set_score(score: float | None, reason: str | None) -> None:
        with writer.transaction() as connection:
            connection.execute(
                "UPDATE predictions SET score = ?, reason = ? WHERE item_id = ?"
                " AND evaluation_id = ?",
                (score, reason, item, evaluation),
            )

    set_score(None, WAITS)
    wishes = Wishes()
    tail = Tail(db, wishes=wishes)

    def read() -> Snapshot:
        found = tail.poll()
        assert found is not None
        return found

    chosen = next(c.id for c in read().checkpoints if c.step == step)
    wishes.change(checkpoint_id=chosen, item_id=item, items=ItemQuery())
    seen = read()
    assert seen.item is not None and seen.items is not None
    answer = next(one for one in seen.item.opened if one.step == step)
    assert (answer.unscored, answer.score, answer.failed) == (WAITS, None, None)
    shown = "\n".join("".join(text for text, _ in row) for row in item_lines(seen.item, step, 90))
    assert "no score: waits for a judge:" in shown and "\x1b" not in shown
    scored = sum(one.failed is None and one.score is not None for one in seen.item.opened)
    assert f" of {scored} checkpoints" in shown
    assert next(one for one in seen.items.lines if one.id == item).score is None

    set_score(0.7, None)

    def has_score() -> bool:
        found = tail.poll()  # an item is read again a second after it was, at the earliest
        return bool(
            found is not None
            and found.item is not None
            and found.items is not None
            and any(one.step == step and one.score == 0.7 for one in found.item.opened)
            and any(one.id == item and one.score == 0.7 for one in found.items.lines)
        )

    wait_until(has_score)
    tail.close()
    writer.close()
