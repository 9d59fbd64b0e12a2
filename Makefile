# `make demo` and `make test` need python3 (3.10 to 3.13) and a network, once.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
COMMA := ,
# What other versions of Python, numpy, pandas and Arrow read otherwise.
FAST := deepfm_tf tests/drift tests/files tests/metrics tests/raw_values \
	tests/data/test_inference.py tests/data/reading/test_time_split.py \
	tests/test_timestamps.py tests/vocabulary/test_vocabulary.py
# Sources are compiled once, not by each process that a test starts; and the
# last files are the smallest, so that both workers end together.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest \
	-n 2 --dist loadscope --no-loadscope-reorder
# What lints and checks types, in a place of its own: a stub of tomorrow's
# numpy must not fail a user's test run. Here, and nowhere else.
LINT := ruff==0.17.6 mypy==2.4.1 numpy==2.2.6 ast-serialize==0.13.1 \
	librt==0.17.0 mypy-extensions==1.2.0 pathspec==1.1.1 tomli==2.5.0 \
	typing-extensions==4.16.0
STYLE := $(VENV)/lint/bin/ruff check . && $(VENV)/lint/bin/ruff format --check .
TYPES := $(VENV)/lint/bin/mypy deepfm_tf pipelines
# Once for each TensorFlow, a quarter of a minute; without a compiler it says so.
KERNELS := $(BIN)/python -m deepfm_tf build-kernels || true

.PHONY: help demo test test-fast lint docs bench clean

help:
	@echo "make demo    train LR, FM and DeepFM on made-up clicks, export, serve"
	@echo "make test    lint, types and the test suite"
	@echo "make test-fast    lint, docstrings, and the tests of reading and metrics"
	@echo "make lint    lint and types only"
	@echo "make docs    the reference of all public names, in runs/docs"
	@echo "make bench   ten minutes of benchmarks, see tests/benchmarks"
	@echo "make clean   remove .venv and everything the recipes wrote"
	@echo
	@echo "Then, on your own data: $(BIN)/deepfm-tf train --help"

demo: $(VENV)/installed
	@$(KERNELS)
	@$(BIN)/python -m pipelines.synthetic

# Types are checked while the kernels are built.
test: $(VENV)/installed-test $(VENV)/lint/installed
	@$(STYLE)
	@$(KERNELS) & $(TYPES); types=$$?; wait; exit $$types
	@$(PYTEST)

test-fast: lint
	@$(PYTEST) -m "not slow_process" \
		$(FAST)

lint: $(VENV)/installed-test $(VENV)/lint/installed
	@$(STYLE)
	@$(TYPES)

docs: $(VENV)/installed
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet \
		--editable '.[docs]'
	@$(BIN)/python -m tests.pages.reference runs/docs

# Installs the peers first, once: some minutes and 6.5 GB, all under runs/.
bench: $(VENV)/installed
	@$(BIN)/python -m tests.benchmarks

clean:
	rm -rf .venv runs build dist *.egg-info .pytest_cache .ruff_cache \
		.mypy_cache saved_models/*/

$(VENV)/installed: setup.py
	@$(call install,.[serving$(COMMA)plots])
	@touch $@

$(VENV)/installed-test: setup.py
	@$(call install,.[test])
	@touch $@ $(VENV)/installed

$(VENV)/lint/installed: Makefile | $(VENV)/installed-test
	@$(BIN)/python -m venv $(VENV)/lint
	@$(VENV)/lint/bin/python -m pip install --disable-pip-version-check \
		--quiet $(LINT)
	@touch $@

define install
$(PYTHON) --version >/dev/null 2>&1 || { \
	echo "Python is missing. Install python3 (3.10 to 3.13), or name one:" \
		"make PYTHON=/path/to/python3"; exit 1; }; \
$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' \
	|| { echo "deepfm_tf needs Python 3.10 to 3.13, but $(PYTHON) is" \
		"`$(PYTHON) --version`. Name another: make PYTHON=python3.12"; \
	exit 1; }; \
$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	echo "Python's venv module is missing. On Debian or Ubuntu:" \
		"sudo apt install python3-venv"; exit 1; }; \
test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || exit 1; \
echo "Installing into $(VENV) (a minute or two the first time)"; \
$(BIN)/python -m pip install --disable-pip-version-check --quiet \
	--editable '$(1)' || { \
	echo "The packages could not be installed. See pip's message above: is" \
		"there a network, or a proxy or mirror to set for pip?"; exit 1; }
endef
