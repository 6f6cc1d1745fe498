"""The items that are looked at: a list by filter, order and text, and one item with its history.

Predictions may be millions, so every statement starts from the items of one suite or from an
evaluation and an item, for which the table's own index serves: no statement reads all predictions.
The list is kept as item ids and only the rows in view are read whole.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ctv_engine.store.rows import Mode
from ctv_tui.data.item_rows import (
    ClosedAnswer,
    ItemDetail,
    ItemFilter,
    ItemLine,
    ItemOrder,
    ItemPage,
    ItemQuery,
    OpenAnswer,
)
from ctv_tui.data.pictures import describe_picture
from ctv_tui.data.snapshot import Evaluation
from ctv_tui.data.wishes import Wish
from ctv_tui.data.work import Work, looked_at

MOST_ITEMS = 200_000
MOST_LINES = 400
TEXT_KEPT = 2_000
"""Characters of an answer or a question that are read for one item; the rest is counted."""

LINE_KEPT = 300
PATIENCE_S = 10.0
_REST_SHARE = 20
_LEAST_REST_S = 1.0
_STEPS_BETWEEN_LOOKS = 20_000

_JOINS = {
    "c": ":closed",
    "o": ":open",
    "pc": ":closed_before",
    "po": ":open_before",
}
_WHERE: dict[ItemFilter, tuple[str, str]] = {
    "all": ("", ""),
    "closed wrong, open right": ("c o", "c.correct = 0 AND o.score = 1"),
    "letter changed": (
        "c pc",
        "c.status = 'ok' AND pc.status = 'ok' AND pc.answer <> c.answer",
    ),
    "text changed": ("o po", "o.status = 'ok' AND po.status = 'ok' AND po.answer <> o.answer"),
    "failed": ("c o", "(c.status = 'failed' OR o.status = 'failed')"),
}
_ORDER: dict[ItemOrder, tuple[str, str]] = {
    "suite": ("", "i.id"),
    "option mass": ("c", "c.option_mass IS NULL, c.option_mass, i.id"),
    "key's probability": ("c", "c.gold_prob IS NULL, c.gold_prob, i.id"),
    "open score": ("o", "o.score IS NULL, o.score, i.id"),
    "longest answer": ("o", "o.output_tokens IS NULL, o.output_tokens DESC, i.id"),
}
_SEARCHED = ("i.question", "i.key", "i.dataset", "i.options_json", "i.answers_json", "o.answer")

_LINES = (
    f"SELECT i.id, i.dataset, i.key, substr(i.question, 1, {LINE_KEPT}) AS question,"
    f" substr(c.answer, 1, 8) AS letter, c.correct, c.gold_prob, c.option_mass,"
    f" substr(o.answer, 1, {LINE_KEPT}) AS text, o.score,"
    " CASE WHEN pc.answer <> c.answer THEN substr(pc.answer, 1, 8) END AS letter_before,"
    " coalesce(po.answer <> o.answer, 0) AS text_changed,"
    " CASE WHEN c.status = 'failed' THEN coalesce(c.reason, 'no reason given')"
    "      WHEN o.status = 'failed' THEN coalesce(o.reason, 'no reason given') END AS failed"
    " FROM json_each(:ids) j CROSS JOIN items i ON i.id = j.value{joins} ORDER BY j.key"
)
_HISTORY = (
    "SELECT p.evaluation_id, p.status, substr(p.reason, 1, 1000) AS reason, p.score, p.correct,"
    f" p.option_mass, p.option_logprobs_json, substr(p.answer, 1, {TEXT_KEPT}) AS answer,"
    f" max(0, length(p.answer) - {TEXT_KEPT}) AS left_out, p.finish_reason, p.output_tokens"
    " FROM json_each(:evaluations) e CROSS JOIN predictions p"
    " ON p.evaluation_id = e.value AND p.item_id = :item AND p.permutation = 0"
)


@dataclass(frozen=True, slots=True)
class _Sides:
    """The evaluations that a list is about; 0 stands for one that does not exist."""

    closed: int = 0
    open: int = 0
    closed_before: int = 0
    open_before: int = 0


class Items:
    """Answers the part of a :class:`Wish` that is about items."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ids: tuple[int, ...] = ()
        self._asked: object = None
        self._counted: object = None
        self._rows_of: object = None
        self._read_again_at = math.inf
        self._rest_until = 0.0
        self._detail_of: object = None
        self._detail_rest_until = 0.0
        self.page: ItemPage | None = None
        self.detail: ItemDetail | None = None

    @property
    def is_due(self) -> bool:
        """Whether something was put off that can be read by now, although the file is the same."""
        return self._clock() >= self._read_again_at

    def read(
        self, connection: sqlite3.Connection, work: Work, wish: Wish, is_stale: Callable[[], bool]
    ) -> None:
        """Bring list and item up to date, as far as they are looked at.

        ``is_stale`` tells that the wish no longer holds, so that a long search is given up.
        """
        self._read_again_at = math.inf
        if wish.items is None:
            self.page = self._asked = None
        else:
            self._read_page(connection, work, wish, wish.items, is_stale)
        if wish.item_id is None:
            self.detail = self._detail_of = None
        else:
            self._read_detail(connection, work, wish.item_id)

    # --- the list -----------------------------------------------------------------------------

    def _read_page(
        self,
        connection: sqlite3.Connection,
        work: Work,
        wish: Wish,
        query: ItemQuery,
        is_stale: Callable[[], bool],
    ) -> None:
        pair = looked_at(work.evaluations, wish.checkpoint_id)
        if not pair or work.run is None:
            self.page = self._asked = None
            return
        sides, step_before = _sides(work, pair)
        asked = (replace(query, first=0, count=0), sides)
        counted = tuple((e.id, e.done, e.failed, e.state) for e in pair)
        if asked != self._asked or (counted != self._counted and self._list_may_change(query)):
            if asked == self._asked and self._clock() < self._rest_until:
                self._read_again_at = self._rest_until
            elif not self._read_ids(connection, work, query, sides, is_stale):
                return
            else:
                self._asked, self._counted = asked, counted
                self._rows_of = None
        rows_of = (query, asked, counted)
        if rows_of == self._rows_of and not self._page_waits:
            return
        self._rows_of = rows_of
        self.page = ItemPage(
            query=query,
            checkpoint_id=pair[0].checkpoint_id,
            step=pair[0].step,
            step_before=step_before,
            matching=len(self._ids),
            total=_total(connection, work.run.suite_digest, query.dataset),
            lines=self._lines(connection, query, sides),
            trouble=self._trouble,
        )

    @staticmethod
    def _list_may_change(query: ItemQuery) -> bool:
        return bool(query.filter != "all" or query.order != "suite" or query.search)

    def _read_ids(
        self,
        connection: sqlite3.Connection,
        work: Work,
        query: ItemQuery,
        sides: _Sides,
        is_stale: Callable[[], bool],
    ) -> bool:
        """Choose the items; return False if the question was given up for a newer one."""
        assert work.run is not None
        statement, values = chosen_items(query, sides, work.run.suite_digest)
        began = self._clock()
        self._trouble = ""

        def look() -> int:
            return int(is_stale() or self._clock() - began > PATIENCE_S)

        connection.set_progress_handler(look, _STEPS_BETWEEN_LOOKS)
        try:
            self._ids = tuple(row[0] for row in connection.execute(statement, values).fetchall())
        except sqlite3.OperationalError as error:
            if "interrupted" not in str(error):
                raise
            if is_stale():
                self._read_again_at = began
                return False
            self._ids = ()
            self._trouble = f"gave up after {PATIENCE_S:.0f} s: choose a dataset or another filter"
        finally:
            connection.set_progress_handler(None, 0)
        took = self._clock() - began
        self._rest_until = began + max(_LEAST_REST_S, _REST_SHARE * took)
        return True

    _trouble = ""

    def _lines(
        self, connection: sqlite3.Connection, query: ItemQuery, sides: _Sides
    ) -> tuple[ItemLine, ...]:
        first = max(0, query.first)
        ids = self._ids[first : first + min(query.count, MOST_LINES)]
        statement = _LINES.format(joins=_joins(_JOINS))
        rows = connection.execute(statement, {"ids": json.dumps(ids), **_values(sides)}).fetchall()
        return tuple(
            ItemLine(
                id=row["id"],
                dataset=row["dataset"],
                key=row["key"],
                question=row["question"],
                letter=row["letter"],
                correct=None if row["correct"] is None else bool(row["correct"]),
                gold_prob=row["gold_prob"],
                option_mass=row["option_mass"],
                text=row["text"],
                score=row["score"],
                letter_before=row["letter_before"],
                text_changed=bool(row["text_changed"]),
                failed=row["failed"],
            )
            for row in rows
        )

    @property
    def _page_waits(self) -> bool:
        """Whether a judge may yet score what is shown, which no count tells."""
        lines = self.page.lines if self.page is not None else ()
        return any(line.text is not None and line.score is None for line in lines)

    # --- one item -----------------------------------------------------------------------------

    @property
    def _detail_waits(self) -> bool:
        return self.detail is not None and any(one.unscored for one in self.detail.opened)

    def _read_detail(self, connection: sqlite3.Connection, work: Work, item_id: int) -> None:
        standing = {key: e for key, e in work.standing_evaluations().items() if e.done or e.failed}
        of = (item_id, tuple((key, e.done, e.failed) for key, e in standing.items()))
        if of == self._detail_of and not self._detail_waits:
            return
        known = self.detail is not None and self.detail.id == item_id
        if known and self._clock() < self._detail_rest_until:
            self._read_again_at = min(self._read_again_at, self._detail_rest_until)
            return
        began = self._clock()
        self._detail_of = of
        self.detail = read_detail(connection, item_id, standing)
        self._detail_rest_until = began + max(_LEAST_REST_S, _REST_SHARE * (self._clock() - began))


def _sides(work: Work, pair: Sequence[Evaluation]) -> tuple[_Sides, int | None]:
    """Return the evaluations of a list and the step that "changed" refers to.

    As in the view ``flips``, the one before is the last finished one of the same mode among each
    step's latest checkpoints.
    """
    found: dict[str, int] = {}
    steps: list[int] = []
    for evaluation in pair:
        found[evaluation.mode] = evaluation.id
        before = _before(work, evaluation)
        if before is not None:
            found[f"{evaluation.mode}_before"] = before.id
            steps.append(before.step)
    return _Sides(**found), max(steps, default=None)


def _before(work: Work, evaluation: Evaluation) -> Evaluation | None:
    earlier = [
        e
        for e in work.standing_evaluations().values()
        if e.mode == evaluation.mode and e.state == "done" and e.step < evaluation.step
    ]
    return max(earlier, key=lambda e: e.step, default=None)


def _values(sides: _Sides) -> dict[str, int]:
    return {
        "closed": sides.closed,
        "open": sides.open,
        "closed_before": sides.closed_before,
        "open_before": sides.open_before,
    }


def _joins(aliases: Sequence[str] | dict[str, str]) -> str:
    return "".join(
        f" LEFT JOIN predictions {a} ON {a}.evaluation_id = {_JOINS[a]}"
        f" AND {a}.item_id = i.id AND {a}.permutation = 0"
        for a in _JOINS
        if a in aliases
    )


def chosen_items(
    query: ItemQuery, sides: _Sides, suite_digest: str
) -> tuple[str, dict[str, object]]:
    """Return the statement that chooses and orders a list's item ids, and its values."""
    needed, condition = _WHERE[query.filter]
    ordered, order = _ORDER[query.order]
    aliases = {*needed.split(), *ordered.split()}
    conditions = ["i.suite_digest = :suite"]
    values: dict[str, object] = {"suite": suite_digest, "most": MOST_ITEMS, **_values(sides)}
    if query.dataset is not None:
        conditions.append("i.dataset = :dataset")
        values["dataset"] = query.dataset
    if condition:
        conditions.append(condition)
    if query.search:
        aliases.add("o")
        likes = " OR ".join(f"{column} LIKE :search ESCAPE '\\'" for column in _SEARCHED)
        conditions.append(f"({likes})")
        values["search"] = f"%{_escaped(query.search)}%"
    return (
        f"SELECT i.id FROM items i{_joins(sorted(aliases))} WHERE {' AND '.join(conditions)}"
        f" ORDER BY {order} LIMIT :most",
        values,
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _total(connection: sqlite3.Connection, suite_digest: str, dataset: str | None) -> int:
    row = connection.execute(
        "SELECT coalesce(sum(items), 0) FROM datasets WHERE suite_digest = ?1"
        " AND name = coalesce(?2, name)",
        (suite_digest, dataset),
    ).fetchone()
    return int(row[0])


def read_detail(
    connection: sqlite3.Connection, item_id: int, standing: dict[int, Evaluation]
) -> ItemDetail | None:
    """Return an item with its answers in the evaluations ``standing``, or None: no such item."""
    item = connection.execute(
        "SELECT id, dataset, key, substr(question, 1, ?2) AS question,"
        " max(0, length(question) - ?2) AS left_out, options_json, gold_index, answers_json, image"
        " FROM items WHERE id = ?1",
        (item_id, TEXT_KEPT),
    ).fetchone()
    if item is None:
        return None
    rows = connection.execute(
        _HISTORY, {"evaluations": json.dumps(list(standing)), "item": item_id}
    ).fetchall()
    by_mode: dict[Mode, list[tuple[int, sqlite3.Row]]] = {"closed": [], "open": [], "gold": []}
    for row in rows:
        evaluation = standing[row["evaluation_id"]]
        by_mode[evaluation.mode].append((evaluation.step, row))
    opened = sorted([*by_mode["open"], *by_mode["gold"]], key=lambda found: found[0])
    closed = sorted(by_mode["closed"], key=lambda found: found[0])
    return ItemDetail(
        id=item["id"],
        dataset=item["dataset"],
        key=item["key"],
        question=item["question"],
        question_left_out=item["left_out"],
        options=_strings(item["options_json"]),
        gold_index=item["gold_index"],
        answers=_strings(item["answers_json"]),
        picture=describe_picture(item["image"]),
        closed=tuple(_closed(step, row) for step, row in closed),
        opened=tuple(_opened(step, row) for step, row in opened),
    )


def _closed(step: int, row: sqlite3.Row) -> ClosedAnswer:
    return ClosedAnswer(
        step=step,
        letter=row["answer"],
        correct=None if row["correct"] is None else bool(row["correct"]),
        shares=shares_of(row["option_logprobs_json"]),
        option_mass=row["option_mass"],
        failed=_failed(row),
    )


def _opened(step: int, row: sqlite3.Row) -> OpenAnswer:
    return OpenAnswer(
        step=step,
        text=row["answer"],
        left_out=row["left_out"] or 0,
        score=row["score"],
        finish_reason=row["finish_reason"],
        output_tokens=row["output_tokens"],
        failed=_failed(row),
        unscored=row["reason"] if row["status"] == "ok" and row["score"] is None else None,
    )


def _failed(row: sqlite3.Row) -> str | None:
    return (row["reason"] or "no reason given") if row["status"] == "failed" else None


def shares_of(logprobs_json: str | None) -> tuple[float, ...]:
    """Return the options' probabilities among themselves, from their natural log-probabilities.

    Empty if they are not known.
    """
    found = _list(logprobs_json)
    values = [v for v in found if isinstance(v, int | float) and not math.isnan(v)]
    if not values or len(values) != len(found) or max(values) in (math.inf, -math.inf):
        return ()
    highest = max(values)
    weights = [math.exp(v - highest) for v in values]
    return tuple(weight / math.fsum(weights) for weight in weights)


def _strings(text: str) -> tuple[str, ...]:
    return tuple(str(value)[:TEXT_KEPT] for value in _list(text))


def _list(text: str | None) -> list[Any]:
    """Return a JSON list, or an empty one for anything else."""
    try:
        found = json.loads(text) if text else []
    except (ValueError, RecursionError):
        return []
    return found if isinstance(found, list) else []
