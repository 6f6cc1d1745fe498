"""The schema as migrations of sqlite-utils.

The first migration is version 4: versions 1 to 3 were never released, and a file of theirs is
refused. A file of version 4 from before the release has the same tables and views, in three more
steps; for it the first migration finds nothing left to create.

A migration that was released is never edited: add the next one below it and raise
``rows.SCHEMA_VERSION``. What it adds is described as in :mod:`ctv_engine.store.tables`.
"""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database, Migrations

from ctv_engine.store.balance import HOST_BALANCE_VIEW
from ctv_engine.store.evidence_tables import EVIDENCE
from ctv_engine.store.further_tables import FURTHER
from ctv_engine.store.machine_tables import DEVICES, MINUTES, NODES, SAID, WORK
from ctv_engine.store.rows import APPLICATION_ID, SCHEMA_VERSION
from ctv_engine.store.tables import ANSWERED, ASKED
from ctv_engine.store.views import VIEWS

MIGRATION_SET = "ctv_engine"
MIGRATIONS_TABLE = "_sqlite_migrations"
"""Where sqlite-utils notes what was applied."""

migrations = Migrations(MIGRATION_SET)


@migrations()
def tables_and_views(db: Database) -> None:
    """Create every table and view of the database contract: version 4."""
    for statement in _statements(ASKED + ANSWERED + WORK + DEVICES + SAID + VIEWS):
        db.execute(statement)


@migrations()
def nodes(db: Database) -> None:
    """Add the machines of a cluster: version 5."""
    for statement in _statements(NODES):
        db.execute(statement)


@migrations()
def rotations_and_cloze(db: Database) -> None:
    """Add closed answers in other orders of the options, and by their text: version 6."""
    for statement in _statements(FURTHER):
        db.execute(statement)


@migrations()
def evidence(db: Database) -> None:
    """Add what scores say beyond correlations: version 7."""
    for statement in _statements(EVIDENCE):
        db.execute(statement)


@migrations()
def hosts(db: Database) -> None:
    """Add the balance of machines, and minutes of devices named alike on several: version 8."""
    columns = ", ".join(row[1] for row in db.execute("PRAGMA table_info(gpu_minutes)"))
    db.execute("ALTER TABLE gpu_minutes RENAME TO _gpu_minutes")
    for statement in _statements(MINUTES):
        db.execute(statement)
    db.execute(f"INSERT INTO gpu_minutes ({columns}) SELECT {columns} FROM _gpu_minutes")
    db.execute("DROP TABLE _gpu_minutes")
    for statement in _statements(HOST_BALANCE_VIEW):
        db.execute(statement)


def _statements(script: str) -> list[str]:
    statements: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file behind ``connection`` to the newest schema; each step is one transaction.

    The file is marked as ours only after the last step, so a reader never sees half a schema.
    """
    database = Database(connection, execute_plugins=False)
    migrations.apply(database)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
