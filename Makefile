# Two commands do everything on a machine that has only Python and pip: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO ?=

.PHONY: demo test test-fast test-slurm lint types bench docs clean

$(READY): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(READY)  ## prune the digits five ways, retrain, say whether it paid (DEMO="data=parquet data.root=DIR" for other data)
	$(BIN)/secateur run sweeps=demo/digits $(DEMO)

test: $(READY)  ## the whole suite, two processes of one thread each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --doctest-modules src tests

test-fast: $(READY)  ## without the end-to-end tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --doctest-modules src tests -m "not slow"

test-slurm: $(READY)  ## sweeps on a Slurm of one node that the tests start: Debian's slurm-wlm and munge, as root
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/cluster

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

bench: $(READY)  ## ratios measured in one run each; minutes
	$(BIN)/python benchmarks/resident_loader.py
	$(BIN)/python benchmarks/recording_overhead.py
	$(BIN)/python benchmarks/data_parallel.py
	$(BIN)/python benchmarks/neighbor_search.py
	$(BIN)/python benchmarks/gnn_extrapolation.py --quick
	$(BIN)/python benchmarks/report.py

docs: $(READY)  ## the pages that are made of other files: docs/sweeps.md, docs/cards and docs/reference
	$(BIN)/python -m secateur.launch.sweep_files > docs/sweeps.md
	$(BIN)/python docs/cards/make.py
	$(BIN)/python docs/reference/make.py

clean:
	rm -rf $(VENV) outputs/runs outputs/store outputs/reports outputs/hydra outputs/sweeps
