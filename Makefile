# make demo | make test | make setup | make clean; PYTHON= chooses the
# interpreter of a new environment, VENV= its folder, TASK= the task of the
# demo: classification, detection, segmentation, vqa, caption, retrieval or
# grounding.
PYTHON ?= python3
VENV ?= .venv
SHELL := /bin/bash

TASK ?= classification

BIN := $(VENV)/bin
DEMO_DIR := work_dirs/demo/$(TASK)
DEMO_OUT := $(DEMO_DIR)/predictions.pkl
DEMO_SHAPES := --tasks $(TASK)

.PHONY: setup demo test clean

ifeq ($(TASK),classification)
DEMO_CONFIG := configs/tnt/tnt-mini-p8_1xb32-10e_shapes-32px.py
DEMO_OPTIONS := train_cfg.max_epochs=9 param_scheduler.1.T_max=8
else ifeq ($(TASK),detection)
DEMO_CONFIG := configs/tnt/faster-rcnn_tnt-mini-p8_fpn_1xb16-2e_shapes-128px.py
DEMO_OPTIONS := train_cfg.max_epochs=1 param_scheduler.1.T_max=150
DEMO_SHEET := --rows 3 --columns 3
else ifeq ($(TASK),segmentation)
DEMO_CONFIG := configs/tnt/trans2seg_tnt-mini-p8_1xb8-2.6k_shapes-128px.py
DEMO_OPTIONS := train_cfg.max_iters=1000 param_scheduler.1.T_max=900
DEMO_SHEET := --rows 3 --columns 3
DEMO_OUT := $(DEMO_DIR)/predictions
else ifneq ($(filter $(TASK),vqa caption retrieval grounding),)
# A backbone that knows the shapes first, then the texts.
DEMO_SHAPES := --out data/shapes64 --scene-size 64 --num-train 6000 \
	--tasks segmentation vqa caption grounding
DEMO_DATA := data/shapes64/easy
DEMO_BACKBONE := configs/tnt/fcn_tnt-micro-p8_1xb32-4k_shapes-64px.py
DEMO_BACKBONE_DIR := work_dirs/demo/backbone
DEMO_BACKBONE_OPTIONS := \
	train_dataloader.dataset.data_root=$(DEMO_DATA)/ade \
	train_cfg.max_iters=1500 \
	param_scheduler.1.T_max=1400 default_hooks.checkpoint.interval=1500
DEMO_OPTIONS := $(foreach split,train test,\
	$(split)_dataloader.dataset.data_root=$(DEMO_DATA)/$(if $(filter \
	retrieval,$(TASK)),caption,$(TASK))) \
	model.tokenizer=$(DEMO_DIR)/tokenizer \
	model.backbone.init_cfg.type=Pretrained \
	model.backbone.init_cfg.prefix=backbone. \
	model.backbone.init_cfg.checkpoint=$(DEMO_BACKBONE_DIR)/iter_1500.pth
DEMO_TRAIN := --no-validate
DEMO_SHEET := --rows 2 --columns 3
ifeq ($(TASK),vqa)
DEMO_CONFIG := configs/jar/jar-mini_tnt-micro-p8_1xb16-4e_shapes-64px.py
DEMO_EPOCHS := 3
DEMO_OPTIONS += param_scheduler.0.end=50
else
# Without pre-training; a step of retrieval runs every encoder twice.
DEMO_EPOCHS := $(if $(filter retrieval,$(TASK)),2,4)
DEMO_CONFIG := configs/mplug/mplug-mini_tnt-micro-p8_$(TASK)_1xb64-2e_shapes-64px.py
DEMO_OPTIONS += load_from=None
DEMO_TOKENIZER := --unused 66
endif
DEMO_OPTIONS += train_cfg.max_epochs=$(DEMO_EPOCHS) \
	param_scheduler.1.T_max=$(DEMO_EPOCHS)
else
$(error TASK=$(TASK) is none of classification, detection, segmentation, vqa, \
	caption, retrieval, grounding)
endif

# Training leaves the config with all options in the work directory.
DEMO_TRAINED := $(DEMO_DIR)/$(notdir $(DEMO_CONFIG))

setup:
	@PYTHON="$(PYTHON)" VENV="$(VENV)" requirements/setup.sh

demo: setup
	@$(BIN)/python tools/dataset_converters/shapes.py $(DEMO_SHAPES)
ifdef DEMO_BACKBONE
	@$(BIN)/python tools/train.py $(DEMO_BACKBONE) --work-dir $(DEMO_BACKBONE_DIR) \
		--resume --no-validate --cfg-options $(DEMO_BACKBONE_OPTIONS)
	@$(BIN)/python tools/dataset_converters/build_tokenizer.py $(DEMO_CONFIG) \
		$(DEMO_TOKENIZER) --cfg-options $(DEMO_OPTIONS)
endif
	@$(BIN)/python tools/train.py $(DEMO_CONFIG) --work-dir $(DEMO_DIR) --resume \
		$(DEMO_TRAIN) $(if $(DEMO_OPTIONS),--cfg-options $(DEMO_OPTIONS))
	@$(BIN)/python tools/test.py $(DEMO_TRAINED) "$$(cat $(DEMO_DIR)/last_checkpoint)" \
		--work-dir $(DEMO_DIR) --out $(DEMO_OUT)
	@$(BIN)/python tools/visualizations/contact_sheet.py $(DEMO_TRAINED) \
		$(DEMO_OUT) --out $(DEMO_DIR)/predictions.png $(DEMO_SHEET)

test: setup
	@$(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

clean:
	rm -rf $(VENV) work_dirs data/shapes data/shapes64
