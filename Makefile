# make demo | test | test-fast | gpu-report | lint | docs | setup | clean
# PYTHON=: interpreter of a new environment. STACK=: versions of the packages, a
# folder of requirements/stacks. VENV=: folder of the environment. TASK=: task of
# the demo (classification, detection, segmentation, vqa, caption, retrieval,
# grounding). PYTEST_ARGS=: further arguments of pytest. REPORT_ARGS=: arguments
# of tools/gpu_report.sh.
PYTHON ?= python3
STACK ?=
VENV ?= .venv$(STACK:%=-%)
TASK ?= classification
BIN := $(VENV)/bin

.PHONY: setup demo test test-fast gpu-report lint docs clean

setup:
	@PYTHON="$(PYTHON)" STACK="$(STACK)" VENV="$(VENV)" requirements/setup.sh

demo:
	@PARTS="$(if $(filter classification,$(TASK)),classification,all)" \
		PYTHON="$(PYTHON)" STACK="$(STACK)" VENV="$(VENV)" requirements/setup.sh
	@$(BIN)/python tools/demo.py $(TASK)

test: setup
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

test-fast: setup
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not e2e' $(PYTEST_ARGS)

gpu-report: setup
	@PYTHON=$(BIN)/python tools/gpu_report.sh $(REPORT_ARGS)

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
