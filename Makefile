# Two commands do everything on a fresh machine: `make demo` and `make test`.
# Another interpreter: `make PYTHON=python3.12 test`. Real recordings: `make BCI_DATA=/path/to/data test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# More than cores: much of a test of real streams is waiting.
TEST_PROCESSES ?= 3

.PHONY: help demo test clean

help:
	@echo "make demo    install into $(VENV) and run the demo (a simulated patient, decoded live)"
	@echo "make test    install into $(VENV) with test extras; run ruff, mypy, import-linter and pytest"
	@echo "make clean   remove $(VENV) and the caches of tools"

demo: $(VENV)/.installed
	$(BIN)/bci demo $(DEMO_ARGS)

# One thread a library: tests share few cores, and thread pools would fight the real-time ones. Faults are rehearsed
# by themselves: beside other tests a busy processor would be one fault more.
test: export OMP_NUM_THREADS = 1
test: export OPENBLAS_NUM_THREADS = 1
test: export MKL_NUM_THREADS = 1
test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/chaos $(PYTEST_ARGS)
	$(BIN)/python -m pytest --ignore tests/chaos --numprocesses $(TEST_PROCESSES) --dist loadgroup --no-loadscope-reorder $(PYTEST_ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, got `$(PYTHON) -V 2>&1`. Name one: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The stamps make a second call start at once; a change of pyproject.toml installs again.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --editable '.[dev]'
	@touch $(VENV)/.installed $@
