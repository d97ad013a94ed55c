# Everything starts here: `make help` lists the targets. Only Python >= 3.11, git and make are needed;
# the environment is made in $(VENV) the first time it is wanted, and again when its pins change, and the
# library of kernels when its C sources do.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

VENV ?= .venv
BIN := $(VENV)/bin
# Extra sets of packages, as in pyproject.toml: make train EXTRAS=box2d,mujoco
EXTRAS ?=
# Address of another package index to take torch from, such as that of its CPU builds.
TORCH_INDEX ?=
# One environment, one stamp per set in it: what training needs, EXTRAS, and what tests and checks use.
BASE := $(VENV)/.installed
ADDED := $(addprefix $(BASE)-,$(EXTRAS))
DEV := $(BASE)-dev
KERNELS := rlcli/kernels/kernels.so
ARGS ?=
REV ?=

PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

BUILD_KERNELS := $(BIN)/python -P rlcli/kernels/build.py

# The first interpreter that is new enough; PYTHON=... chooses another.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach name,python3 python3.11 python3.12 python3.13 python,\
	$(shell $(name) -c '$(NEW_ENOUGH)' >/dev/null 2>&1 && echo $(name))))

# pip would pass over an extra that does not exist, with a warning.
EXTRAS_EXIST := import sys, tomllib; \
	known = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]; \
	unknown = [name for name in sys.argv[1].split(",") if name not in known]; \
	unknown and sys.exit(f"EXTRAS={sys.argv[1]}: there is no extra {unknown[0]!r}. Choose from: " + ", ".join(known))

# Nothing is uploaded by a test, whoever is logged in; one thread is what results are promised for.
QUIET := WANDB_MODE=offline WANDB_SILENT=true WANDB_API_KEY= OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
# Tests of one file stay together, so that what they share is made once; the longest come first, as timed last (tests/conftest.py).
WORKERS ?= auto
RUFF_PATHS := rlcli tests scripts buildtools

.PHONY: help install train test smoke mutations check sanitize lint format types same-numbers same-speed bench cohorts envs mujoco mujoco-bits figures learning study lag soak actors-speed bounds parity elementary faults picture plots screenshots report-picture report-speed theory docs clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 21
	@echo
	@echo "  make train ARGS='env=Pendulum-v1 seed=3'    passes overrides to rlcli train"
	@echo "  make test ARGS='-k gae'                     passes arguments to pytest"

install: $(BASE) $(ADDED) $(KERNELS) ## make .venv with what training needs (EXTRAS=box2d,mujoco adds more)

# torch comes first and by its pin: an open range may bring several gigabytes of another build.
$(BASE): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "rlcli needs Python 3.11 or newer: install it, or name it with make PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -c '$(NEW_ENOUGH)' || { echo "$(PYTHON) is older than Python 3.11: choose another with make PYTHON=/path/to/python3" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment: install its venv module (Debian: apt install python3-venv)" >&2; exit 2; }
	@echo 'Installing what training needs into $(VENV): some minutes the first time.'
ifneq ($(TORCH_INDEX),)
	$(PIP_INSTALL) --no-deps --index-url '$(TORCH_INDEX)' torch
endif
	$(PIP_INSTALL) torch setuptools
	@if [ -n "$$($(BUILD_KERNELS) --needs)" ]; then $(PIP_INSTALL) ziglang || true; fi
	$(PIP_INSTALL) --no-build-isolation --editable .
	@touch $@

$(BASE)-%: $(BASE)
	@$(BIN)/python -c '$(EXTRAS_EXIST)' '$*'
	@echo 'Adding $* to $(VENV): some minutes the first time.'
	$(PIP_INSTALL) --no-build-isolation --editable '.[$*]'
	@touch $@

# Where there is no compiler a sentence says so, at every call, and rlcli trains with torch.
$(KERNELS): rlcli/kernels/build.py $(wildcard rlcli/kernels/source/*) | $(BASE)
	@if $(BUILD_KERNELS); then touch $@; fi

# With -j too, one pip at a time changes the environment.
$(DEV): | $(filter-out $(DEV),$(ADDED))

train: install ## train PPO on CartPole-v1, or what ARGS says
	$(BIN)/rlcli train $(ARGS)

test: $(DEV) $(KERNELS) ## add what tests use to .venv, and run the whole fast suite; warnings are errors
	$(QUIET) $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

smoke: $(DEV) $(KERNELS) ## every algorithm for a few hundred steps, in a temporary directory
	$(QUIET) $(BIN)/python scripts/smoke.py

mutations: $(DEV) $(KERNELS) ## break the code as every test says that it would notice; make test tries one of eighty
	$(QUIET) $(BIN)/python -m pytest tests/mutations -m '' $(ARGS)

check: lint types test ## format, lint, types and tests

sanitize: $(DEV) ## tests of the kernels in C, compiled with checks of memory and of undefined behaviour
	$(QUIET) $(BIN)/python scripts/sanitize.py $(ARGS)

lint: $(DEV) ## formatting and lint, without changing anything
	$(BIN)/ruff format --check $(RUFF_PATHS)
	$(BIN)/ruff check $(RUFF_PATHS)

format: $(DEV) ## format the code
	$(BIN)/ruff format $(RUFF_PATHS)
	$(BIN)/ruff check --fix $(RUFF_PATHS)

types: $(DEV) ## mypy --strict over rlcli/
	$(BIN)/mypy --strict rlcli

same-numbers: $(DEV) $(KERNELS) ## train a fixed set of runs at REV=... and here: identical, or the first difference
	@test -n "$(REV)" || { echo "Name the revision to compare with: make same-numbers REV=main" >&2; exit 2; }
	$(QUIET) $(BIN)/python scripts/same_numbers.py $(REV) $(ARGS)

same-speed: $(DEV) $(KERNELS) ## time per update at REV=... and here, in turns on one core
	@test -n "$(REV)" || { echo "Name the revision to compare with: make same-speed REV=main" >&2; exit 2; }
	$(QUIET) $(BIN)/python scripts/bench_revisions.py $(REV) $(ARGS)

bench: $(DEV) $(KERNELS) ## steps per second compared with Stable-Baselines3 and JAX, start-up time, memory: hours
	$(QUIET) $(BIN)/python scripts/bench.py $(ARGS)

cohorts: $(DEV) $(KERNELS) ## cost per run of a cohort, and time of a sweep, compared with Stable-Baselines3: an hour
	$(QUIET) $(BIN)/python scripts/bench_cohorts.py $(ARGS)

envs: $(DEV) $(KERNELS) ## steps and resets per second of the array environments compared with Gymnasium's
	$(QUIET) $(BIN)/python scripts/bench_envs.py $(ARGS)

mujoco: $(DEV) ## time per step of MuJoCo environments compared with Gymnasium's
	$(QUIET) $(BIN)/python scripts/bench_mujoco.py $(ARGS)

mujoco-bits: $(DEV) ## 10,000 steps of each MuJoCo environment, bit for bit those of Gymnasium: minutes
	$(QUIET) $(BIN)/python -m pytest -m slow tests/envs/test_mujoco.py $(ARGS)

figures: $(DEV) $(KERNELS) ## the figures of docs/results/figures.md: every algorithm, 5 or 10 seeds each
	$(QUIET) $(BIN)/python scripts/figures.py $(ARGS)

learning: $(DEV) $(KERNELS) ## returns on MuJoCo with the tuned settings, 5 seeds each: hours; a second call resumes
	$(QUIET) $(BIN)/python scripts/mujoco_learning.py $(ARGS)

study: $(DEV) $(KERNELS) ## staleness and health of all algorithms, docs/health.md: hours; a second call resumes
	$(QUIET) $(BIN)/python scripts/study.py $(ARGS)

lag: $(DEV) $(KERNELS) ## V-trace with and without lag, and actors, docs/lag.md: an hour; a second call resumes
	$(QUIET) $(BIN)/python scripts/lag.py $(ARGS)

soak: $(DEV) $(KERNELS) ## ten minutes of asynchronous training with actors killed all the time: docs/results/soak.md
	$(QUIET) $(BIN)/python scripts/soak.py $(ARGS)

actors-speed: $(DEV) $(KERNELS) ## speed of asynchronous actors compared with inline, their bound and RLlib: an hour
	$(QUIET) $(BIN)/python scripts/actors_speed.py $(ARGS)

bounds: $(DEV) $(KERNELS) ## effect of the minimum of an adaptive penalty: a quarter of an hour
	$(QUIET) $(BIN)/python scripts/beta_bounds.py $(ARGS)

parity: $(DEV) $(KERNELS) ## returns of native and Stable-Baselines3, many seeds of three environments: hours
	$(QUIET) $(BIN)/python scripts/parity.py $(ARGS)

elementary: $(DEV) $(KERNELS) ## errors of the kernels' exp, log, tanh and others over all of float32: minutes
	$(QUIET) $(BIN)/python scripts/elementary_errors.py $(ARGS)

faults: $(DEV) $(KERNELS) ## fault injection: kill -9 hundreds of short runs, damage files, resume, compare: minutes
	$(QUIET) $(BIN)/python scripts/faults.py $(ARGS)

picture: $(DEV) ## train a run and save its panel for the README: docs/pictures/panel.svg
	$(QUIET) $(BIN)/python scripts/picture.py

theory: $(DEV) $(KERNELS) ## claims of the literature on trial: docs/theory.md and its plots
	$(QUIET) $(BIN)/python scripts/theory_page.py

plots: $(DEV) $(KERNELS) ## train runs and plot them for docs/plots.md: docs/pictures; minutes
	$(QUIET) $(BIN)/python scripts/plots.py

screenshots: $(DEV) $(KERNELS) ## a report of real runs in a browser, four pictures in screenshots/ to look at
	$(QUIET) $(BIN)/python scripts/screenshots.py $(ARGS)

report-picture: $(DEV) $(KERNELS) ## picture of a report of real runs for the README: docs/pictures/report.webp
	$(QUIET) $(BIN)/python scripts/screenshots.py --picture $(ARGS)

report-speed: $(DEV) ## size, time to make and time to paint of a report on 200 runs of 2,000 updates
	$(QUIET) $(BIN)/python scripts/report_speed.py $(ARGS)

docs: $(DEV) ## regenerate the reference pages of docs/
	$(BIN)/python scripts/generate_docs.py

clean: ## remove the environment and what builds and tests left
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache rlcli.egg-info $(KERNELS)
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
