"""The engine's rows of evidence and ranking, as the dashboard reads them."""

from __future__ import annotations

from dataclasses import replace

import recorded_run

from ctv_engine.store.evidence import write_evidence
from ctv_engine.store.rows import CorrelationRow, EvidenceRow, Mode, RankRow
from ctv_tui.data import Snapshot
from ctv_tui.data.tail import Tail, read_snapshot
from ctv_tui.data.tracks import tracks_of

PAIRS = EvidenceRow("closed", "macro", "decision_accuracy", 0.75, 0.5, 1.0, 28, 8, 800)
NOISE = EvidenceRow("closed", "macro", "step_noise", 0.03, 0.02, 0.04, None, 10, 1000)
FIRST = RankRow("closed", 1, 200, 1, 0.6, 0.5, 0.7, 1, 0.1, -0.1, 0.3, 220, 0)


def test_a_track_is_made_of_the_rows_of_its_scope() -> None:
    gold = replace(NOISE, mode="gold", value=0.01)
    ranks: dict[tuple[str, Mode], float | None] = {("macro", "closed"): 0.9}
    closed, of_gold = tracks_of((PAIRS, NOISE, gold), ranks)
    assert (closed.agreeing, closed.pairs, closed.n, closed.spearman) == (21, 28, 8, 0.9)
    assert (closed.decision_accuracy, closed.noise, closed.monotonicity) == (0.75, 0.03, None)
    assert (of_gold.mode, of_gold.pairs, of_gold.n, of_gold.noise) == ("gold", 0, 0, 0.01)
    assert of_gold.decision_accuracy is None


def test_an_undefined_decision_accuracy_is_none_and_not_zero() -> None:
    row = replace(PAIRS, value=None, pairs=0, reason="gold tells none apart")
    track, pooled = tracks_of((row,), {("pooled", "closed"): 0.7})
    assert (track.decision_accuracy, track.pairs, track.n) == (None, 0, 8)
    assert (pooled.scope, pooled.spearman, pooled.noise) == ("pooled", 0.7, None)


def poll(tail: Tail) -> Snapshot:
    found = tail.poll()
    assert found is not None
    return found


def test_rows_are_read_again_when_the_engine_has_written_one(
    recorder: recorded_run.Recorder,
) -> None:
    tail = Tail(recorder.writer.path)
    assert (poll(tail).evidence, tail._snapshot().ranking) == ((), ())
    smooth = replace(FIRST, window=3)
    write_evidence(recorder.writer, recorder.run_id, [PAIRS], {"closed": [FIRST, smooth]})
    before = poll(tail)
    assert (before.evidence, before.ranking) == ((PAIRS,), (FIRST,))
    recorder.beat()
    after = poll(tail)
    assert after.tracks is before.tracks and after.ranking is before.ranking
    other = replace(FIRST, step=300, value=0.7)
    write_evidence(recorder.writer, recorder.run_id, [NOISE], {"closed": [other]})
    rank = CorrelationRow("closed", "macro", "spearman", 0, 800, 0.8, None, None, 8)
    recorder.writer.add_correlations(recorder.run_id, [rank, replace(rank, window=8, r=-1.0)])
    last = poll(tail)
    assert last.ranking == (other,) and set(last.evidence) == {PAIRS, NOISE}
    track = last.track("closed")
    assert track is not None and (track.spearman, track.noise) == (0.8, 0.03)
    tail.close()


def test_a_file_that_an_older_version_wrote_has_none(recorder: recorded_run.Recorder) -> None:
    with recorder.writer.transaction() as connection:
        connection.execute("DROP TABLE ranking")
        connection.execute("DROP TABLE evidence")
    found = read_snapshot(recorder.writer.path)
    assert found.run is not None and (found.evidence, found.ranking, found.tracks) == ((), (), ())
