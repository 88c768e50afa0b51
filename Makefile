# `make demo`, `make check` and `make test`; each makes the environment .venv first.
PYTHON ?= python3
# LOWEST=1: the lowest versions that setup.py allows, in an environment of their own.
LOWEST ?=
VENV := $(if $(LOWEST),.venv-lowest,.venv)
BIN := $(VENV)/bin
# Threads that spin while they wait cost up to ten times the time where something else runs too.
export OMP_WAIT_POLICY ?= PASSIVE

INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode
# A third worker on two cores: tests wait for browsers, clips that play, and processes that end.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist worksteal

.PHONY: help demo check test env lint clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    build the environment, then data, training, test and score on real footage"
	@echo "make check   build the environment, then ruff, mypy and the tests that are not slow"
	@echo "make test    build the environment, then ruff, mypy and the whole test suite"
	@echo "make check LOWEST=1   the same with the lowest versions that setup.py allows"

env: $(VENV)/.installed

$(VENV)/.installed: requirements.txt setup.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v >= (3, 10) or sys.exit("expected Python >= 3.10, got %d.%d: run make PYTHON=python3.12" % v)'
	@$(PYTHON) -c 'import ensurepip, venv' || { echo 'Python has no venv: run "apt install python3-venv"'; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
ifdef LOWEST
	$(INSTALL) --resolution lowest-direct -e '.[test]'
else
	$(INSTALL) -r requirements.txt
	$(INSTALL) --no-build-isolation --no-deps -e .
endif
	@touch $@

demo: env
	$(BIN)/python -m vqe.demo $(ARGS)

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint
	$(PYTEST) -m "not slow"

test: lint
	$(PYTEST)

clean:
	rm -rf .venv .venv-lowest outputs
