"""Write ``docs/schema.md`` and ``docs/queries.md``: ``make docs``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import recorded_demo

from ctv_engine.store import describe
from ctv_tui.sql.pages import queries_page

DOCS = Path(__file__).parent.parent / "docs"


def main() -> int:
    """Write both pages."""
    DOCS.mkdir(exist_ok=True)
    describe.main([str(DOCS / "schema.md")])
    with tempfile.TemporaryDirectory(prefix="ctv-docs-") as place:
        path = Path(place) / "run.db"
        recorded_demo.write(path)
        (DOCS / "queries.md").write_text(queries_page(path), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
