# make demo | make test | make setup | make clean; PYTHON= chooses the
# interpreter of a new environment, VENV= its folder, TASK= the task of the
# demo: classification, detection or segmentation.
PYTHON ?= python3
VENV ?= .venv
SHELL := /bin/bash

TASK ?= classification

BIN := $(VENV)/bin
DEMO_DIR := work_dirs/demo/$(TASK)
DEMO_OUT := $(DEMO_DIR)/predictions.pkl

.PHONY: setup demo test clean

ifeq ($(TASK),classification)
DEMO_CONFIG := configs/tnt/tnt-mini-p8_1xb32-10e_shapes-32px.py
else ifeq ($(TASK),detection)
DEMO_CONFIG := configs/tnt/faster-rcnn_tnt-mini-p8_fpn_1xb16-2e_shapes-128px.py
DEMO_OPTIONS := train_cfg.max_epochs=1 param_scheduler.1.T_max=150
DEMO_SHEET := --rows 3 --columns 3
else ifeq ($(TASK),segmentation)
DEMO_CONFIG := configs/tnt/trans2seg_tnt-mini-p8_1xb8-2600it_shapes-128px.py
DEMO_OPTIONS := train_cfg.max_iters=1000 param_scheduler.1.T_max=900
DEMO_SHEET := --rows 3 --columns 3
DEMO_OUT := $(DEMO_DIR)/predictions
else
$(error TASK=$(TASK) is none of classification, detection, segmentation)
endif

setup:
	@PYTHON="$(PYTHON)" VENV="$(VENV)" requirements/setup.sh

demo: setup
	@$(BIN)/python tools/dataset_converters/shapes.py
	@$(BIN)/python tools/train.py $(DEMO_CONFIG) --work-dir $(DEMO_DIR) --resume \
		$(if $(DEMO_OPTIONS),--cfg-options $(DEMO_OPTIONS))
	@$(BIN)/python tools/test.py $(DEMO_CONFIG) "$$(cat $(DEMO_DIR)/last_checkpoint)" \
		--work-dir $(DEMO_DIR) --out $(DEMO_OUT)
	@$(BIN)/python tools/visualizations/contact_sheet.py $(DEMO_CONFIG) \
		$(DEMO_OUT) --out $(DEMO_DIR)/predictions.png $(DEMO_SHEET)

test: setup
	@$(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

clean:
	rm -rf $(VENV) work_dirs data/shapes
