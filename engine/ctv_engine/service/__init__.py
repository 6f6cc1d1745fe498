"""The composition root: the coordinator of one database. Alone in knowing all the other rooms."""

from ctv_engine.service.engine import Engine, run_engine

__all__ = ["Engine", "run_engine"]
