# Two commands on a bare machine with Python 3.11+ and make: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
BIN := $(VENV)/bin
SEEDS ?= 1000

.PHONY: help demo test test-torch test-long sim bench bench-peers lint format clean

help: ## What can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "goldthread needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $(READY)

demo: $(READY) ## A program is killed, hung and damaged, and ends bit-identical (30 s)
	@$(BIN)/goldthread demo

test: $(READY) ## Every check but those that need torch or take long
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --verbose | tail -n 12
	@$(BIN)/python -m pytest -m 'not torch and not long' --cov --cov-report=term-missing:skip-covered

format: $(READY) ## Put the source in its usual shape
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## Remove what was installed and built
	rm -rf $(VENV) $(VENV)-torch .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
