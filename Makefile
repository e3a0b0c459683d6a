# Each target sets up what it needs in .venv; a second call does nothing until pyproject.toml or constraints.txt change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet -c constraints.txt
INPUTS := $(VENV)/.ready-pip pyproject.toml constraints.txt

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test lint docs clean

help:
	@echo "make demo   learn a metric on a synthetic cohort, print accuracies, write figures to demo_output/"
	@echo "make test   doctests and tests (ARGS=... goes to pytest)"
	@echo "make lint   ruff, ruff format, mypy"
	@echo "make docs   the documentation, in docs/_build/html"
	@echo "make clean  remove the environment and everything built"

demo: $(VENV)/.ready-demo
	$(BIN)/python examples/demo.py

test: $(VENV)/.ready-test
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.ready-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.ready-doc
	$(BIN)/python -m sphinx -b html -W --keep-going docs docs/_build/html

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache docs/_build docs/api/generated demo_output benchmarks/.venv-ggml-ot

$(VENV)/.ready-pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "scggml needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.ready-demo: $(INPUTS)
	$(INSTALL) -e .
	@touch $@

$(VENV)/.ready-test: $(INPUTS)
	$(INSTALL) torch
	$(INSTALL) -e . --group test
	@touch $@

$(VENV)/.ready-lint $(VENV)/.ready-doc: $(VENV)/.ready-%: $(INPUTS)
	$(INSTALL) -e . --group $*
	@touch $@
