# make demo   the main job on bundled real cells: a table, figures and a report in demo/
# make test   everything that has to hold
# Both make the environment .venv when it is missing or outdated. PYTHON=python3.12 chooses the interpreter.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
DEMO := --out demo/

ifdef DATA
DEMO += --data $(DATA)
endif
ifdef BATCH
DEMO += --batch-key $(BATCH)
endif
ifdef LABEL
DEMO += --label-key $(LABEL)
endif

.PHONY: demo test docs tutorials lint typecheck benchmark clean

demo: $(READY)
	$(BIN)/scssl demo $(DEMO)

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(TESTS)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade "pip>=25.1"
	$(PIP) --constraint constraints.txt --group test --editable '.[all]'
	touch $@

docs: $(READY)
	$(PIP) --constraint constraints.txt --group doc
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

tutorials: $(READY)
	$(PIP) --constraint constraints.txt --group doc
	$(BIN)/python tutorials/execute.py

lint: $(READY)
	$(PIP) --constraint constraints.txt ruff
	$(BIN)/ruff check src tests benchmarks docs
	$(BIN)/ruff format --check src tests benchmarks docs

typecheck: $(READY)
	$(PIP) --constraint constraints.txt --group typecheck
	$(BIN)/mypy

benchmark: $(READY)
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/evaluation.py

clean:
	rm -rf $(VENV) demo docs/_build
