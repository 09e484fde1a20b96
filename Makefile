# Two commands on a bare machine with Python 3.11+ and make: `make demo` and `make test`.
# Each sets up what it needs on its first call; later calls install nothing.

PYTHON ?= python3
PIP := -m pip install --quiet --quiet --disable-pip-version-check --no-input
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TORCH := .venv-torch
TORCH_READY := $(TORCH)/.ready
PEERS := .venv-peers
PEERS_READY := $(PEERS)/.ready
FUZZ_READY := $(VENV)/.ready-fuzz
SEEDS ?= 10000
KEEPERS ?= 0
FRAMES ?= 10000000
STATES ?= 10000

.PHONY: help demo test test-torch test-long sim exact fuzz bench bench-peers lint format clean

help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "goldthread needs Python 3.11 or newer")'
	@echo "Setting up $(VENV) (once)" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python $(PIP) -e '.[dev]'
	@touch $@

$(FUZZ_READY): $(READY)
	@$(BIN)/python $(PIP) -e '.[dev,fuzz]'
	@touch $@

$(TORCH_READY): pyproject.toml
	@echo "Setting up $(TORCH) with torch and JAX (once, some minutes)" >&2
	@$(PYTHON) -m venv $(TORCH)
	@$(TORCH)/bin/python $(PIP) -e '.[dev,models]' torch==2.13.0 torchdata==0.11.0 jax flax optax
	@touch $@

$(PEERS_READY): pyproject.toml benchmarks/requirements-peers.txt
	@echo "Setting up $(PEERS) with the tools to measure against (once, some minutes)" >&2
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python $(PIP) -e . -r benchmarks/requirements-peers.txt
	@touch $@

demo: $(READY) ## A process, a copy and two hosts are lost in turn, and a program ends bit-identical (a minute)
	@$(BIN)/goldthread demo

test: lint ## Every check but those that need torch or take long
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not torch and not long' --cov --cov-report=term-missing:skip-covered

test-torch: $(TORCH_READY) ## What needs torch or JAX, in an environment of its own
	@$(TORCH)/bin/python -m pytest -m torch

test-long: $(READY) ## What takes minutes
	@$(BIN)/python -m pytest -m long --timeout 1800

sim: $(READY) ## Simulate faults: make sim SEEDS=10000 KEEPERS=3 (0: two or more, drawn by each seed)
	@$(BIN)/python -m goldthread.sim --seeds $(SEEDS) --keepers $(KEEPERS) --jobs $$(nproc)

exact: $(READY) ## Draw states and check that each comes back as it was: make exact STATES=10000
	@$(BIN)/python tests/exact --states $(STATES)

fuzz: $(FUZZ_READY) ## Damaged bytes for all that reads what others send: make fuzz FRAMES=100000
	@$(BIN)/python tests/fuzz/fuzz.py --frames $(FRAMES)

bench: $(READY) ## Measure against the limit of this machine
	@$(BIN)/goldthread bench

bench-peers: $(PEERS_READY) ## Measure against other tools; writes the tables in benchmarks/README.md
	@$(PEERS)/bin/python benchmarks/peers.py
	@$(PEERS)/bin/python benchmarks/partners.py

lint: $(READY) ## Style and types
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy

format: $(READY) ## Put the source in its usual shape
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## Remove what was installed and built
	rm -rf $(VENV) $(TORCH) $(PEERS) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
