# Two commands: `make demo` and `make test`. Both make the environment .venv first.
PYTHON ?= python3
BIN := .venv/bin
# Threads that spin while they wait cost up to ten times the time where something else runs too.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test env clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   build the environment, then data, training, test and score on real footage"
	@echo "make test   build the environment, then ruff and the whole test suite"

env: .venv/.installed

.venv/.installed: requirements.txt setup.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v >= (3, 10) or sys.exit("expected Python >= 3.10, got %d.%d: run make PYTHON=python3.12" % v)'
	@$(PYTHON) -c 'import ensurepip, venv' || { echo 'Python has no venv: run "apt install python3-venv"'; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-build-isolation --no-deps -e .
	@touch $@

demo: env
	$(BIN)/python -m vqe.demo $(ARGS)

test: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

clean:
	rm -rf .venv outputs
