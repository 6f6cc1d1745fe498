"""The SQLite file: migrations, rows, the one writer, the read-only reader, the views.

``rows`` and ``reader`` use the standard library only and are what the dashboard imports;
``schema`` and ``writer`` belong to the engine.
"""
