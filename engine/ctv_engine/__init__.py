"""The engine: scores every checkpoint of a training run into one SQLite file."""
