# make demo | make test | make setup | make clean; PYTHON= chooses the
# interpreter of a new environment, VENV= its folder.
PYTHON ?= python3
VENV ?= .venv
SHELL := /bin/bash

BIN := $(VENV)/bin
DEMO_CONFIG := configs/tnt/tnt-mini-p8_1xb32-10e_shapes-32px.py
DEMO_DIR := work_dirs/demo

.PHONY: setup demo test clean

setup:
	@PYTHON="$(PYTHON)" VENV="$(VENV)" requirements/setup.sh

demo: setup
	@$(BIN)/python tools/dataset_converters/shapes.py --tasks classification
	@$(BIN)/python tools/train.py $(DEMO_CONFIG) --work-dir $(DEMO_DIR) --resume
	@$(BIN)/python tools/test.py $(DEMO_CONFIG) "$$(cat $(DEMO_DIR)/last_checkpoint)" \
		--work-dir $(DEMO_DIR) --out $(DEMO_DIR)/predictions.pkl
	@$(BIN)/python tools/visualizations/contact_sheet.py $(DEMO_CONFIG) \
		$(DEMO_DIR)/predictions.pkl --out $(DEMO_DIR)/predictions.png

test: setup
	@$(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

clean:
	rm -rf $(VENV) work_dirs data/shapes
