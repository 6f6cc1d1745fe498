"""The views for people, by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ctv_engine.store.rows import CorrelationRow

# --- trajectory ---------------------------------------------------------------------------------


def trajectory(book: Any, dataset: str = "chart") -> list[tuple[Any, ...]]:
    query = "SELECT step, mode, value FROM trajectory WHERE dataset = ? AND metric = 'score'"
    rows: list[tuple[Any, ...]] = book.query(query + " ORDER BY step", dataset)
    return rows


def test_a_trajectory_by_step(book: Any) -> None:
    worker = book.worker()
    for step, value in ((20, 0.5), (10, 0.25)):
        evaluation = book.evaluation(step, "open")
        book.score(evaluation, worker, {"chart": [value], "info": [1.0]})
        book.end(evaluation)
    assert trajectory(book) == [(10, "open", 0.25), (20, "open", 0.5)]
    assert trajectory(book, "macro") == [(10, "open", 0.625), (20, "open", 0.75)]


def test_a_trajectory_shows_only_the_newest_row_of_a_step(book: Any) -> None:
    worker = book.worker()
    for value in (0.25, 0.5):  # the directory of step 10 was written twice
        book.score(evaluation := book.evaluation(10, "open"), worker, {"chart": [value]})
        book.end(evaluation)
    assert trajectory(book) == [(10, "open", 0.5)]


def test_a_row_that_came_to_nothing_hides_no_scores(book: Any) -> None:
    worker = book.worker()
    book.score(evaluation := book.evaluation(10, "open"), worker, {"chart": [0.25]})
    book.end(evaluation)
    again = book.writer.add_checkpoint(book.run_id, 10, "/c-10", 99.0)
    book.writer.set_checkpoint(again, "vanished", "deleted before it was whole")
    assert trajectory(book) == [(10, "open", 0.25)]


# --- gpu_balance --------------------------------------------------------------------------------


def balance(book: Any, evaluation: int) -> dict[int, tuple[float, float]]:
    query = "SELECT worker_id, busy_s, wait_s FROM gpu_balance WHERE evaluation_id = ?"
    return {worker: (busy, wait) for worker, busy, wait in book.query(query, evaluation)}


def test_the_wait_of_three_workers(book: Any) -> None:
    evaluation, other = book.evaluation(10), book.evaluation(20)
    last, idle, helper = (book.worker(f"cpu:{n}") for n in range(3))
    # last  : 100 ██████████ 110                       ends the evaluation
    # idle  :                                          never got a batch: waits all the 10 s
    # helper: 100 ███ 103   104 ▒▒▒▒▒ 109              5 s of its 7 for another evaluation
    book.spans(evaluation, last, (100.0, 106.0), (106.0, 110.0))
    book.spans(evaluation, helper, (100.0, 103.0))
    book.spans(other, helper, (104.0, 109.0))
    assert balance(book, evaluation) == {
        last: (10.0, 0.0),
        idle: (0.0, 10.0),
        helper: (3.0, 2.0),
    }


def test_machines_have_the_sums_of_their_workers(book: Any) -> None:
    evaluation, other = book.evaluation(10), book.evaluation(20)
    first, second = (book.worker("cpu:0", host=host) for host in ("a", "b"))
    third = book.worker("cpu:1", host="b")
    book.spans(evaluation, first, (100.0, 110.0))
    book.spans(evaluation, second, (100.0, 103.0))
    book.spans(evaluation, third, (100.0, 105.0))
    sql = "SELECT mode, host, workers, busy_s, wait_s, idle_fraction FROM host_balance"
    assert book.query(f"{sql} WHERE evaluation_id = ? ORDER BY host", evaluation) == [
        ("closed", "a", 1, 10.0, 0.0, 0.0),
        ("closed", "b", 2, 8.0, 12.0, 0.6),  # 3 and 5 s of work, 7 and 5 s of waiting
    ]
    assert book.query(f"{sql} WHERE evaluation_id = ?", other) == []


def test_what_a_worker_was_in_the_middle_of_is_no_waiting_in_the_end(book: Any) -> None:
    first, second = book.evaluation(10), book.evaluation(20)
    one, two = (book.worker(f"cpu:{n}") for n in range(2))
    book.spans(first, one, (100.0, 110.0))
    book.spans(first, two, (100.0, 104.0))
    idle = "SELECT idle_fraction FROM evaluations WHERE id = ?"
    book.end(first)
    assert book.query(idle, first) == [(pytest.approx(6.0 / 20.0),)]
    book.spans(second, two, (104.0, 112.0))  # its batch ends after the first evaluation
    book.end(second)
    assert book.query(idle, first) == [(0.0,)]


@pytest.mark.parametrize(
    ("ready_at", "ended_at", "wait"),
    [
        (0.0, None, 10.0),
        (104.0, None, 6.0),  # it came up in the middle
        (0.0, 103.0, 3.0),  # it was lost in the middle
        (104.0, 105.0, 1.0),
        (110.5, None, None),  # it came up after the end
        (0.0, 99.0, None),  # it was gone before
        (None, None, None),  # it never came up
    ],
)
def test_a_worker_counts_while_it_is_up(
    book: Any, ready_at: float | None, ended_at: float | None, wait: float | None
) -> None:
    evaluation = book.evaluation(10)
    book.spans(evaluation, book.worker(), (100.0, 110.0))
    other = book.worker("cpu:1", ready_at=ready_at, ended_at=ended_at)
    found = balance(book, evaluation).get(other)
    assert found == (None if wait is None else (0.0, pytest.approx(wait)))


@pytest.mark.parametrize(
    ("span", "wait"),
    [
        ((90.0, 100.0), 10.0),  # before
        ((95.0, 104.0), 10.0 - 4.0),  # over the begin: only what is after 100 counts
        ((108.0, 130.0), 10.0 - 2.0),  # over the end: only what is before 110 counts
        ((95.0, 120.0), 0.0),  # all the time
        ((110.0, 120.0), 10.0),  # after
    ],
)
def test_only_the_overlap_of_other_work_is_taken_off(
    book: Any, span: tuple[float, float], wait: float
) -> None:
    evaluation, other = book.evaluation(10), book.evaluation(20)
    first, second = book.worker("cpu:0"), book.worker("cpu:1")
    book.spans(evaluation, first, (100.0, 110.0))
    book.spans(other, second, (80.0, 85.0), span)
    assert balance(book, evaluation)[second] == (0.0, pytest.approx(wait))


@pytest.mark.parametrize(
    ("span", "wait"),
    [((95.0, 100.0), 8.0), ((102.0, 104.0), 6.0), ((105.0, 130.0), 3.0), ((110.0, 120.0), 8.0)],
)
def test_other_work_before_its_last_batch_is_not_taken_off(
    book: Any, span: tuple[float, float], wait: float
) -> None:
    evaluation, other = book.evaluation(10), book.evaluation(20)
    first, second = book.worker("cpu:0"), book.worker("cpu:1")
    book.spans(evaluation, first, (100.0, 110.0))
    book.spans(evaluation, second, (100.0, 102.0))
    book.spans(other, second, span)
    assert balance(book, evaluation)[second] == (2.0, pytest.approx(wait))


def test_workers_of_another_run_do_not_wait(book: Any) -> None:
    evaluation = book.evaluation(10)
    mine = book.worker()
    book.spans(evaluation, mine, (100.0, 110.0))
    values = dict.fromkeys(("config_json", "versions_json"), "{}")
    book.run_id = book.writer.open_run(
        name="x", checkpoint_dir="/x", suite_digest="s", gold_digest=None, host="h", **values
    )
    book.worker("cpu:1")
    assert set(balance(book, evaluation)) == {mine}


# --- latency ------------------------------------------------------------------------------------


def test_latency_by_dataset(book: Any) -> None:
    evaluation, worker = book.evaluation(10, "open"), book.worker()
    rows = [
        book.answer(
            evaluation,
            worker,
            "chart",
            str(n),
            prefill_s=0.5,
            decode_s=float(n),
            prompt_tokens=10 * n,
            output_tokens=n,
            finish_reason="length" if n == 3 else "stop",
        )
        for n in (1, 2, 3)
    ]
    failed = book.answer(evaluation, worker, "chart", "0", status="failed", reason="x")
    book.writer.add_results([*rows, failed], [])
    assert book.query(
        "SELECT step, mode, dataset, n, prefill_s, decode_s, prefill_total_s, decode_total_s,"
        " prompt_tokens, output_tokens, output_tokens_max, capped FROM latency"
    ) == [(10, "open", "chart", 3, 0.5, 2.0, 1.5, 6.0, 20.0, 2.0, 3, pytest.approx(1 / 3))]


# --- flips --------------------------------------------------------------------------------------


def test_flips_between_neighbouring_checkpoints(book: Any) -> None:
    worker = book.worker()
    answers = {10: "AAB", 20: "ABB", 30: "ABA"}  # by step, of items 0, 1, 2
    for step in (30, 10, 20):  # in any order of arrival
        evaluation = book.evaluation(step, "closed")
        rows = [
            book.answer(evaluation, worker, "chart", str(n), answer=a, score=float(a == "A"))
            for n, a in enumerate(answers[step])
        ]
        book.writer.add_results(rows, [])
        book.end(evaluation)
    book.evaluation(25, "closed")  # still queued: not a neighbour
    assert book.query(
        "SELECT previous_step, step, key, answer_before, answer_after, score_before, score_after"
        " FROM flips ORDER BY step"
    ) == [(10, 20, "1", "A", "B", 1.0, 0.0), (20, 30, "2", "B", "A", 0.0, 1.0)]


def test_an_item_without_an_answer_is_no_flip(book: Any) -> None:
    worker = book.worker()
    for step, values in (
        (10, {"answer": "A"}),
        (20, {"answer": None, "status": "failed", "reason": "x"}),
    ):
        evaluation = book.evaluation(step, "closed")
        book.writer.add_results([book.answer(evaluation, worker, "chart", "0", **values)], [])
        book.end(evaluation)
    assert book.query("SELECT * FROM flips") == []


def test_modes_do_not_flip_into_each_other(book: Any) -> None:
    worker = book.worker()
    for step, mode in ((10, "closed"), (20, "open")):
        evaluation = book.evaluation(step, mode)
        row = book.answer(evaluation, worker, "chart", "0", answer=mode)
        book.writer.add_results([row], [])
        book.end(evaluation)
    assert book.query("SELECT * FROM flips") == []


def test_a_step_is_not_its_own_neighbour(book: Any) -> None:
    worker = book.worker()
    for step, answer in ((10, "A"), (20, "B"), (20, "A"), (30, "A")):  # step 20 written twice
        evaluation = book.evaluation(step, "closed")
        row = book.answer(evaluation, worker, "chart", "0", answer=answer)
        book.writer.add_results([row], [])
        book.end(evaluation)
    assert book.query("SELECT previous_step, step FROM flips") == []


# --- correlation_now ----------------------------------------------------------------------------


def test_the_latest_correlation_of_each_kind(book: Any) -> None:
    row = CorrelationRow("closed", "macro", "pearson", 0, 10, 0.1, None, None, 2, "few")
    book.writer.add_correlations(
        book.run_id,
        [
            row,
            replace(row, step=30, r=0.3, n=4),
            replace(row, step=20, r=0.2, n=3),
            replace(row, window=8, step=20, r=0.8),
            replace(row, proxy="open", step=10, r=0.5),
            replace(row, scope="dataset:chart", step=40, r=None, reason="does not vary"),
        ],
    )
    query = "SELECT proxy, scope, window, step, r FROM correlation_now ORDER BY 1, 2, 3"
    assert book.query(query) == [
        ("closed", "dataset:chart", 0, 40, None),
        ("closed", "macro", 0, 30, 0.3),
        ("closed", "macro", 8, 20, 0.8),
        ("open", "macro", 0, 10, 0.5),
    ]
