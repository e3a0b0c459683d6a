# Each target sets up what it needs in .venv; a second call does nothing until one of INPUTS changes.
# The tests with other versions than the newest ones have environments of their own, without torch.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet -c constraints.txt
INPUTS := $(VENV)/.ready-pip pyproject.toml constraints.txt src/scggml/_version.py
LOWEST := .venv-lowest
PRE := .venv-pre
EMPTY := .venv-wheel
WORKFLOW := .venv-workflow
# A worker for each core. ARGS come later, so that ARGS="-n 0" runs the tests in one process.
PYTEST := -m pytest --numprocesses=logical --maxprocesses=8 --dist=worksteal
# Old releases use what newer ones of other packages announce the end of; that is no fault of ours.
UNTOLD := -W ignore::DeprecationWarning -W ignore::PendingDeprecationWarning -W ignore::FutureWarning

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo gallery test test-lowest test-pre lint docs dist test-dist clean

help:
	@echo "make demo         learn a metric on a synthetic cohort, print accuracies, write figures to demo_output/"
	@echo "make gallery      every plot at its defaults, on one sheet, to gallery/ (ARGS=cohort.h5ad for a cohort of your own)"
	@echo "make test         doctests and tests (ARGS=... goes to pytest)"
	@echo "make test-lowest  the same with the lowest versions that pyproject.toml allows, in $(LOWEST)"
	@echo "make test-pre     the same with pre-releases of numpy, scipy, pandas, anndata and scanpy, in $(PRE)"
	@echo "make lint         ruff, ruff format, mypy"
	@echo "make dist         source distribution and wheel, checked, in dist/"
	@echo "make test-dist    the wheel in an empty environment, $(EMPTY): README, demo and types"
	@echo "make docs         the documentation, in docs/_build/html (ARGS='-D nb_execution_mode=off' leaves the tutorials unexecuted)"
	@echo "make clean        remove the environments and everything built"

demo: $(VENV)/.ready-demo
	$(BIN)/python examples/demo.py

gallery: $(VENV)/.ready-demo
	$(BIN)/python examples/gallery.py $(ARGS)

test: $(VENV)/.ready-test $(WORKFLOW)/.ready
	$(BIN)/python $(PYTEST) $(ARGS)

test-lowest: $(LOWEST)/.ready
	$(LOWEST)/bin/python $(PYTEST) $(UNTOLD) $(ARGS)

test-pre: $(PRE)/.ready
	$(PRE)/bin/python $(PYTEST) $(ARGS)

lint: $(VENV)/.ready-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.ready-doc
	$(BIN)/python -m sphinx -b html -j auto -W --keep-going $(ARGS) docs docs/_build/html
	$(BIN)/python docs/check_links.py docs/_build/html

dist: $(VENV)/.ready-build
	rm -rf dist
	$(BIN)/python -m build --quiet
	$(BIN)/python -m twine check --strict dist/*

# Run elsewhere, where neither the sources nor files of the checkout can stand in for what the wheel lacks.
test-dist: dist
	rm -rf $(EMPTY)
	$(PYTHON) -m venv $(EMPTY)
	$(EMPTY)/bin/python -m pip install --quiet -c constraints.txt torch
	$(EMPTY)/bin/python -m pip install --quiet dist/*.whl
	$(EMPTY)/bin/python -m pip check
	$(EMPTY)/bin/python release/try_wheel.py

clean:
	rm -rf $(VENV) $(LOWEST) $(PRE) $(EMPTY) $(WORKFLOW) dist .mypy_cache .pytest_cache .ruff_cache docs/_build docs/api/generated docs/gallery demo_output gallery benchmarks/.venv-*

$(VENV)/.ready-pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "scggml needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.ready-demo: $(INPUTS)
	$(INSTALL) torch
	$(INSTALL) -e ".[torch]"
	@touch $@

$(VENV)/.ready-test: $(INPUTS)
	$(INSTALL) torch
	$(INSTALL) -e . --group test
	@touch $@

$(VENV)/.ready-lint $(VENV)/.ready-doc: $(VENV)/.ready-%: $(INPUTS)
	$(INSTALL) -e . --group $*
	@touch $@

$(VENV)/.ready-build: $(INPUTS)
	$(INSTALL) --group build
	@touch $@

# Snakemake asks for older releases of packages that the tests have newer ones of.
$(WORKFLOW)/.ready: pyproject.toml
	test -x $(WORKFLOW)/bin/python || $(PYTHON) -m venv $(WORKFLOW)
	$(WORKFLOW)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(WORKFLOW)/bin/python -m pip install --quiet --group workflow
	@touch $@

# Bytecode is compiled here: at the first import it would warn of what Python thinks of the sources, an error in tests.
$(LOWEST)/.ready: pyproject.toml
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --compile-bytecode --upgrade --resolution lowest-direct \
	  -e . --group test-base
	@touch $@

# Named again with the package, numpy stays below what numba allows.
$(PRE)/.ready: pyproject.toml
	test -x $(PRE)/bin/python || $(PYTHON) -m venv $(PRE)
	$(PRE)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(PRE)/bin/python -m pip install --quiet -e . --group test-base
	$(PRE)/bin/python -m pip install --quiet --pre --upgrade numpy scipy pandas anndata "scanpy[scanpy2]" -e .
	@touch $@
