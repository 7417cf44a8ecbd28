# Two commands from a fresh machine: `make demo` and `make test`. Only git, make and Python are needed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo demo-harvest test quick lint types imports tests bench starter clean

demo: $(STAMP)  ## draw sample covers and run the whole of albo on them
	$(BIN)/albo demo

demo-harvest: $(STAMP)  ## harvest from local servers into MongoDB and S3, embed, train, classify
	$(BIN)/python -m tests.rehearsal

test: lint types imports tests  ## everything that must hold before a commit

quick: lint types imports  ## the same with the unit tests alone: two minutes
	$(BIN)/python -m pytest -m unit -n auto

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

tests: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal

bench: $(STAMP)  ## measure everything that benchmarks/RESULTS.md states
	$(BIN)/python -m benchmarks

starter: $(STAMP)  ## make the head that comes with albo again: make starter COVERS=FOLDER
	$(BIN)/python -m benchmarks.starter "$(COVERS)"

clean:
	rm -rf $(VENV) albo-demo

# The environment is made anew where Python or the declared dependencies have changed.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(sys.version_info < (3, 11) and f"albo needs Python 3.11 or newer, {sys.executable} is {v}; use make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --constraint constraints.txt
	@touch $(STAMP)
