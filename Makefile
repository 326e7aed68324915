# make demo   the main job on bundled real cells: a table, figures and a report in demo/
# make test   everything that has to hold
# Both make the environment .venv when it is missing or outdated. PYTHON=python3.12 chooses the interpreter.
# make test-newest   what users call, with the newest releases of everything in an environment .venv-newest

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PYTHON_NEWEST ?= $(or $(shell python3.13 -c "import sys; print(sys.executable)" 2>/dev/null),\
                      $(lastword $(wildcard $(HOME)/.pyenv/versions/3.13*/bin/python3.13)))
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
DEMO := --out demo/
FRONT := tests/contracts tests/tl tests/data tests/pp tests/bad_input tests/test_docs.py

ifdef DATA
DEMO += --data $(DATA)
endif
ifdef BATCH
DEMO += --batch-key $(BATCH)
endif
ifdef LABEL
DEMO += --label-key $(LABEL)
endif

.PHONY: demo test test-newest docs tutorials lint typecheck benchmark clean

demo: $(READY)
	$(BIN)/scssl demo $(DEMO)

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(TESTS)

test-newest:
ifeq ($(PYTHON_NEWEST),)
	@echo "The newest releases are not tested: there is no python3.13 (PYTHON_NEWEST= names one)."
else
	$(MAKE) test PYTHON=$(PYTHON_NEWEST) VENV=$(VENV)-newest CONSTRAINTS=constraints-newest.txt TESTS="$(FRONT)"
endif

$(READY): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade "pip>=25.1"
	$(PIP) --constraint $(CONSTRAINTS) --group test --editable '.[all]'
	touch $@

docs: $(READY)
	$(PIP) --constraint $(CONSTRAINTS) --group doc
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

tutorials: $(READY)
	$(PIP) --constraint $(CONSTRAINTS) --group doc
	$(BIN)/python tutorials/execute.py

lint: $(READY)
	$(PIP) --constraint $(CONSTRAINTS) ruff
	$(BIN)/ruff check src tests benchmarks docs
	$(BIN)/ruff format --check src tests benchmarks docs

typecheck: $(READY)
	$(PIP) --constraint $(CONSTRAINTS) --group typecheck
	$(BIN)/mypy

benchmark: $(READY)
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/evaluation.py

clean:
	rm -rf $(VENV) $(VENV)-newest demo docs/_build
