# Everything here works where only Python 3.11+, make and a package index exist: `.venv` is made on demand.
.DEFAULT_GOAL := help
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
DEMO_OUT ?= runs/demo
# Settings that replace those of the recipe, e.g. make demo DEMO_SET='--set key=value'
DEMO_SET ?=
# Package index for PyTorch alone. Its CPU build has a tenth of the size of the one with CUDA that PyPI has for Linux:
# make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
TORCH_CPU := https://download.pytorch.org/whl/cpu

help:            ## Show the targets
	@grep -E '^[a-z-]+: *[^#]*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 18

$(BIN)/activate:
	@test -n "$(PYTHON)" || { echo "interpolants needs Python 3.11, 3.12 or 3.13 on PATH (or make PYTHON=/path/to/python)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --upgrade pip

USER_EXTRAS := data,plots,web
USER_SIZE := 55 packages, 0.3 GB to download with PyTorch's CPU build and 1.3 GB with the one for CUDA
TEST_SIZE := 82 packages, about 1.8 GB on the disk with PyTorch's CPU build
DEV_SIZE := 210 packages, about 2.7 GB with PyTorch for CUDA
# $(call install,EXTRAS,SIZE): says what is downloaded, then shows pip's progress. Ctrl-C there names the way on.
define install
	@echo "Installing into $(VENV): $(2)"
	@echo "$(if $(TORCH_INDEX),PyTorch comes from $(TORCH_INDEX).,Most of it is PyTorch with CUDA on Linux. For its CPU build: make $(or $(MAKECMDGOALS),setup) TORCH_INDEX=$(TORCH_CPU))"
	@trap 'echo; echo "Stopped while installing. Go on with: make $(strip $(or $(MAKECMDGOALS),setup) $(MAKEOVERRIDES))"; exit 130' INT; \
	$(if $(TORCH_INDEX),$(BIN)/python -m pip install torch --index-url $(TORCH_INDEX) && )$(BIN)/python -m pip install --editable '.[$(1)]'
endef

# One stamp per dependency set: the demo needs no test tools.
$(VENV)/.user: pyproject.toml | $(BIN)/activate
	$(call install,$(USER_EXTRAS),$(USER_SIZE))
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/activate
	$(call install,dev,$(DEV_SIZE))
	@touch $@ $(VENV)/.user $(VENV)/.test

# What the core's tests need, without the rooms' packages.
$(VENV)/.test: pyproject.toml | $(BIN)/activate
	$(call install,test,$(TEST_SIZE))
	@touch $@ $(VENV)/.user

setup: $(VENV)/.dev                ## Make .venv with everything a developer needs

demo: $(VENV)/.user                ## Give one photograph the colours of another, draw digits, write an HTML report
	@echo "The demo takes about 1:40 minutes of one core; $(DEMO_OUT)/report.html is there after the first task."
	@trap 'echo; echo "Stopped. Go on with: make $(strip demo $(MAKEOVERRIDES))"; exit 130' INT; \
	$(BIN)/interpolants run --config recipes/demo.toml $(DEMO_SET) --out $(DEMO_OUT) --resume
	@echo "Open $(DEMO_OUT)/report.html in a browser, or look at the run in the explorer: $(BIN)/interpolants explore $(DEMO_OUT)"
	@echo "The same with two pictures of yours: $(BIN)/interpolants run --x0 a.jpg --x1 b.jpg --out runs/mine"

# make test ROOM=weather runs the tests of one room, ROOM=core those of no room, for which fewer packages are installed.
ROOM ?=
OF_ROOM = $(if $(filter core,$(ROOM)),$(patsubst src/interpolants/%/_defaults.toml,--ignore=tests/%,$(wildcard src/interpolants/*/_defaults.toml)),$(or $(wildcard tests/*/$(ROOM)/.),$(error there is no room $(ROOM))))

# loadfile: the tests of one file stay on one worker and share what its fixtures made. A worker that dies ends the run and
# is named: a new one might wait for ever.
test: $(VENV)/$(if $(filter core,$(ROOM)),.test,.dev)                 ## Run the default tests on two workers
	$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0 --durations=25 $(if $(ROOM),$(OF_ROOM))

# Files that differ from BASE are followed through imports, cards and recipes, see tests/changed.py.
test-changed: $(VENV)/.dev         ## Run the default tests that your changes can reach, for daily work; BASE=<commit>
	$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0 --changed $(or $(BASE),HEAD) || test $$? -eq 5  # 5: none is reached

# make core TESTS=tests runs all of the core's tests there.
TESTS ?=
core: $(VENV)/.dev                 ## Delete the rings in a copy; collect the core's tests there, and run those that may feel it
	$(BIN)/python .ci/core.py $(TESTS)

# make test-slow AT_MOST=1800 starts none after 30 minutes, and another part of them for every commit.
test-slow: $(VENV)/.dev            ## Run the tests marked slow
	$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0 -m slow --durations=25 $(if $(AT_MOST),--at-most $(AT_MOST) --no-loadscope-reorder) || test $$? -eq 5  # 5: there is none

test-whole: $(VENV)/.dev           ## Run the slow tests with all cases of their tables, before a release
	INTERPOLANTS_WHOLE=1 $(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0 -m slow

pretrained: $(VENV)/.dev           ## Train the models that ship with the library anew, with their scores
	$(BIN)/python -m gallery.pretrained

docs: $(VENV)/.dev                 ## Run the lessons and build docs/_build/html; a warning fails
	$(BIN)/python docs/methods.py --check
	INTERPOLANTS_DOCS_EXECUTE=1 $(BIN)/python -m sphinx -W --keep-going -q -b html -c docs . docs/_build/html
	@cp docs/_redirect.html docs/_build/html/index.html && echo "docs/_build/html/index.html"

# The lowest release that pyproject.toml allows of each dependency, in an environment of its own. LOWEST_KEEP=torch leaves
# torch, whose wheel of that age brings gigabytes, to pip; LOWEST_TESTS chooses the tests.
LOWEST ?= .venv-lowest
LOWEST_KEEP ?=
LOWEST_PYTHON ?= python3.11
LOWEST_TESTS ?=
lowest:          ## Run the default tests on the lowest allowed dependencies
	test -d $(LOWEST) || $(LOWEST_PYTHON) -m venv $(LOWEST)
	$(LOWEST_PYTHON) .ci/lowest.py $(addprefix --keep ,$(LOWEST_KEEP)) > $(LOWEST)/pins.txt
	$(LOWEST)/bin/python -m pip install --quiet -r $(LOWEST)/pins.txt $(LOWEST_KEEP) pytest pytest-timeout hypothesis httpx selenium
	PYTHONPATH=src $(LOWEST)/bin/python -m pytest -p no:cacheprovider -W default::DeprecationWarning $(LOWEST_TESTS)

# Downloads torch once for each Python: gigabytes where no CPU build is at hand.
extras:          ## Install each extra by itself on Python 3.11 and 3.13, and import what it brings
	python3 .ci/extras.py $(if $(ONLY),--only $(ONLY))

wheel: $(VENV)/.dev                ## Build the wheel into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

# Tools have an environment of their own. For names, versions and notes alone, in a second: python3 .ci/release_check.py
RELEASE ?= .venv-release
release-check:   ## Check that a release is ready: names, versions, notes, sdist and wheel, each installed bare
	test -d $(RELEASE) || $(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet --requirement .ci/release_tools.txt
	rm -rf $(RELEASE)/dist
	$(RELEASE)/bin/python .ci/release_check.py --dist $(RELEASE)/dist --bare

# make bench BASE=<commit> [ROUNDS=11] compares this tree with that commit instead.
bench: $(VENV)/.dev                ## Measure overheads against the bare network, or against BASE=<commit>
	$(BIN)/python -m benchmarks $(if $(BASE),against --base $(BASE) --rounds $(or $(ROUNDS),11))

# Peers have an environment of their own and are never a dependency. SRC=FOLDER holds checkouts of those that are on no
# index; ONLY=training,sde measures some themes; QUICK=1 shows in some minutes that everything runs, and writes nothing.
# DEVICE=cuda measures on a GPU, and PAGE=... is the page.
PEERS ?= .venv-peers
DEVICE ?= cpu
PAGE ?= BENCHMARKS.md
bench-peers:     ## Measure published libraries beside ours, into BENCHMARKS.md
	test -d $(PEERS) || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --requirement benchmarks/peers/requirements.txt --editable .
	$(PEERS)/bin/python -m benchmarks peers $(if $(SRC),--src $(SRC)) $(if $(ONLY),--only $(ONLY)) --device $(DEVICE) $(if $(QUICK),--quick,--write $(PAGE))

gpu: $(VENV)/.dev                  ## Test and measure everything that waits for a GPU, into docs/gpu.md; one line without one
	@$(BIN)/python -m benchmarks gpu --write docs/gpu.md

# make torture SCALE=0.1 does a tenth; attacks that are done are kept in runs/torture, so that it can be interrupted.
SCALE ?= 1
torture: $(VENV)/.dev              ## Attack the library for an hour and write RELIABILITY.md
	OMP_NUM_THREADS=1 $(BIN)/python -m torture --scale $(SCALE)

# make mutants SCALE=0.1 tries a tenth; what was tried is kept in runs/mutants.
mutants: $(VENV)/.dev              ## Put faults into formulas, see which the tests find, and write MUTANTS.md
	OMP_NUM_THREADS=1 $(BIN)/python -m mutants --scale $(SCALE)

check: $(VENV)/.dev                ## Lint, prose, types, import contract
	$(BIN)/ruff check src tests benchmarks torture mutants studies gallery .ci docs/*.py docs/figures/*.py docs/prose/*.py
	$(BIN)/ruff format --check src tests benchmarks torture mutants studies gallery .ci docs/*.py docs/figures/*.py docs/prose/*.py
	$(BIN)/python docs/prose/check.py
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:           ## Remove what the other targets made
	rm -rf $(VENV) $(LOWEST) $(PEERS) $(RELEASE) runs dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

.PHONY: help setup demo test test-changed core test-slow docs lowest extras wheel release-check bench bench-peers gpu torture mutants check clean
