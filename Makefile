# What one can do here. Everything happens in .venv; a second run re-uses it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
FILES := setup.py setup.cfg pyproject.toml

.PHONY: help demo test bench bench-gpu bench-inference profile experiments pythons lint format clean

help:
	@echo "make demo      install into .venv, then train, prune, evaluate and export a network"
	@echo "make test      install with the test tools, then run the whole suite"
	@echo "make bench     time training steps here and in other implementations, which it installs first"
	@echo "make bench-gpu count what a training step asks of a GPU, and time it where there is one"
	@echo "make bench-inference  time pruned networks here and in other programs, which it installs first"
	@echo "make profile   show where the milliseconds of a training step go"
	@echo "make experiments  draw the paper's figures anew, from numbers computed here"
	@echo "make pythons   run the suite on each Python from 3.10 to 3.13 that is installed"
	@echo "make lint      check format, lint and types"
	@echo "make format    put the code into its format"
	@echo "make clean     remove what the others made"

demo: $(VENV)/.installed
	rm -rf demo && mkdir demo
	cd demo && ../$(BIN)/vdprune train --arch lenet300 --recipe quick
	cd demo && ../$(BIN)/vdprune prune --threshold 3.0
	cd demo && ../$(BIN)/vdprune eval pruned.h5
	cd demo && ../$(BIN)/vdprune export --format csr

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks

bench-gpu: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.gpu

bench-inference: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks.inference
	$(BIN)/python -m benchmarks.inference.startup

profile: $(VENV)/.installed
	$(BIN)/python -m benchmarks.profile

experiments: $(VENV)/.installed-test
	$(BIN)/python -m experiments.kl_approximation
	$(BIN)/python -m experiments.gradient_variance
	$(BIN)/python -m experiments.random_labels

pythons: $(VENV)/.installed-lint
	$(BIN)/nox

lint: $(VENV)/.installed-lint
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

format: $(VENV)/.installed-lint
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:
	rm -rf $(VENV) build demo benchmarks.json benchmarks-gpu.json inference.json startup.json \
		kl-approximation.* gradient-variance.* random-labels.* \
		*.egg-info .nox .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "vdprune needs Python 3.10 or newer, $(PYTHON) is older: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python $(FILES)
	@echo "installing into $(VENV) ..."
	$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) install --editable '.[test]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(PIP) install --editable '.[bench]'
	@touch $@

$(VENV)/.installed-lint: $(VENV)/.installed
	$(PIP) install --editable '.[lint]'
	@touch $@
