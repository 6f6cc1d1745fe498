"""The machines of a cluster, in the table of that name."""

from __future__ import annotations

import time

from ctv_engine.store.rows import NodeRow
from ctv_engine.store.writer import Writer


def put_node(writer: Writer, run_id: int, node: NodeRow) -> None:
    """Store what a machine of the cluster is now; one that left and is back is a new row."""
    left_at = time.time() if node.state == "left" else None
    changing = (
        node.host,
        node.address,
        node.state,
        node.reason,
        node.slots,
        node.clock_offset_s,
        node.clock_error_s,
        left_at,
        node.silent_s,
    )
    with writer.transaction() as connection:
        cursor = connection.execute(
            "UPDATE nodes SET host = ?, address = ?, state = ?, reason = ?, slots = ?,"
            " clock_offset_s = coalesce(?, clock_offset_s),"
            " clock_error_s = coalesce(?, clock_error_s), left_at = ?, silent_s = ?"
            " WHERE run_id = ? AND node_id = ? AND left_at IS NULL",
            (*changing, run_id, node.node_id),
        )
        if not cursor.rowcount:
            connection.execute(
                "INSERT INTO nodes (host, address, state, reason, slots, clock_offset_s,"
                " clock_error_s, left_at, silent_s, run_id, node_id, joined_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*changing, run_id, node.node_id, time.time()),
            )


def end_nodes(writer: Writer, run_id: int) -> None:
    """Note that the engine that used the cluster has ended, as of its last heartbeat."""
    with writer.transaction() as connection:
        connection.execute(
            "UPDATE nodes SET left_at = coalesce((SELECT heartbeat_at FROM engine), joined_at)"
            " WHERE run_id = ? AND left_at IS NULL",
            (run_id,),
        )
