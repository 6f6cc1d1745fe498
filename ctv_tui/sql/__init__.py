"""SQL for people who bring their own: asking a database read-only, printing rows, exporting it."""
