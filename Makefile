# Smart AutoScaler. GNU make 3.81 or newer; `make help` lists the targets.

PYTHON ?= python3 python3.13 python3.12 python3.11
ARGS ?=

VENV = .venv/bin
AXE = build/axe/node_modules/axe-core/axe.min.js
AXE_VERSION = 4.14.1
PYTEST = $(VENV)/python -m pytest -n logical --maxprocesses 4 --dist loadfile
PIP_INSTALL = $(VENV)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# The first of $(PYTHON) that is new enough, and what to say if none is.
NEW_ENOUGH = ("Python 3.1"[1-9]*|"Python 3."[2-9][0-9]*)
FOUND_PYTHON = $(shell for python in $(PYTHON); do \
	case "$$($$python --version 2>&1)" in $(NEW_ENOUGH) echo $$python; exit;; esac; done)
FIRST_PYTHON = $(firstword $(PYTHON))
TOO_OLD = $(FIRST_PYTHON) is $(shell command -v $(FIRST_PYTHON) >/dev/null 2>&1 \
	&& $(FIRST_PYTHON) --version 2>&1 | head -n 1 || echo missing): the course needs Python 3.11 or newer \
	(elsewhere? make PYTHON=/path/to/python3.12 ...)

.DEFAULT_GOAL := help
.PHONY: help run quick refresh lab demo animations site setup test test-all test-corpus lint format bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

run: .venv/.course ## set up, then the whole course with the full budgets, written under build/course/
	@$(VENV)/autoscaler run $(ARGS)

quick: .venv/.course ## the whole course with tiny budgets, written under build/quick/
	@$(VENV)/autoscaler run --profile quick $(ARGS)

refresh: .venv/.course ## for maintainers: make the committed models, figures, results, notebooks and documents anew
	@$(VENV)/autoscaler run --refresh $(ARGS)

lab: .venv/.course ## open JupyterLab on the course
	@$(VENV)/python -m jupyterlab --notebook-dir=. $(ARGS) notebooks

demo: .venv/.course ## serve the control room as a web page on this machine
	@$(VENV)/autoscaler demo --web $(ARGS)

site: .venv/.site ## build the project's site into site/, ready for any static host (ARGS=FOLDER for another place)
	@$(VENV)/python -m autoscaler_env.site.build $(ARGS)

animations: .venv/.course ## for maintainers: make the animations of the tour anew, figures/tour_*
	@$(VENV)/python benchmarks/film_tour.py $(ARGS)

setup: .venv/.all ## install the course and the developers' tools into .venv; the other targets install what they need

test: .venv/.all ## every test but the whole corpora (ARGS="-k name" for some of them)
	@$(PYTEST) -m "not corpus" $(ARGS)

test-all: .venv/.all ## every test, the whole corpora too
	@$(PYTEST) -m "" $(ARGS)

test-corpus: .venv/.all ## the whole corpora alone
	@$(PYTEST) -m corpus $(ARGS)

lint: .venv/.all ## check style, format and types
	@$(VENV)/python -m ruff check .
	@$(VENV)/python -m ruff format --check .
	@$(VENV)/python -m mypy

format: .venv/.all ## repair style and format
	@$(VENV)/python -m ruff check --fix .
	@$(VENV)/python -m ruff format .

bench: .venv/.all ## run the benchmarks, benchmarks/bench_*.py
	@for benchmark in $(wildcard benchmarks/bench_*.py); do \
		echo "== $$benchmark"; $(VENV)/python "$$benchmark" $(ARGS) || exit 1; done

clean: ## remove what runs and tests write beside the results (not .venv, not models)
	rm -rf build logs site .mypy_cache .pytest_cache .ruff_cache
	find autoscaler_env benchmarks notebooks tests -name __pycache__ -o -name .ipynb_checkpoints 2>/dev/null | xargs rm -rf

# An environment whose Python has gone (an upgrade, a removal) is made anew; one half made is not left behind.
$(VENV)/python:
	$(if $(FOUND_PYTHON),,$(error $(TOO_OLD)))
	@echo "Creating .venv with $$($(FOUND_PYTHON) --version)"
	@$(FOUND_PYTHON) -m venv --clear .venv || { rm -rf .venv; exit 1; }

.venv/.course: $(VENV)/python pyproject.toml constraints.txt
	@echo "Installing the course into .venv (minutes the first time)"
	@$(PIP_INSTALL) -e .
	@touch $@

.venv/.site: .venv/.course
	@echo "Installing what builds the site into .venv"
	@$(PIP_INSTALL) -e ".[site]"
	@touch $@

.venv/.all: .venv/.course
	@echo "Installing the developers' tools into .venv"
	@$(PIP_INSTALL) -e ".[dev]"
	@touch $@

# axe-core: with it the browser tests check that people who cannot see well or use a mouse can use the pages.
$(AXE):
	@npm install --silent --no-audit --no-fund --no-save --prefix build/axe axe-core@$(AXE_VERSION)
