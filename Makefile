# make demo | test | test-fast | lint | docs | setup | clean
# PYTHON=: interpreter of a new environment. VENV=: its folder. TASK=: task of
# the demo (classification, detection, segmentation, vqa, caption, retrieval,
# grounding). PYTEST_ARGS=: further arguments of pytest.
PYTHON ?= python3
VENV ?= .venv
TASK ?= classification
BIN := $(VENV)/bin

.PHONY: setup demo test test-fast lint docs clean

setup:
	@PYTHON="$(PYTHON)" VENV="$(VENV)" requirements/setup.sh

demo: setup
	@$(BIN)/python tools/demo.py $(TASK)

test: setup
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

test-fast: setup
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not e2e' $(PYTEST_ARGS)

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/codespell
	@$(BIN)/mypy

docs: setup
	@$(BIN)/python tools/model_zoo.py
	@$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html

clean:
	rm -rf $(VENV) work_dirs data/shapes data/shapes64 docs/_build
