# Everything a person runs by hand. Each target makes the virtual environment it needs by itself.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# More options for pip, for instance `--index-url` of PyTorch's CPU wheels; see docs/deployment.md.
PIP_ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo serve test lint check bench fuzz chaos docs clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

$(BIN)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Duetto and what it needs into $(VENV) (about a minute, longer on a slow line) ..."
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) --constraint constraints.txt --editable .
	touch $@

$(BIN)/.installed-dev: $(BIN)/.installed
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(BIN)/.installed ## Start everything, separate the example duet, say where the stems are
	$(BIN)/duetto demo

serve: $(BIN)/.installed ## Serve the page and the API on http://127.0.0.1:8000 until Ctrl-C
	$(BIN)/duetto serve

# A file's tests stay in one process, so its servers start once. Files go out in the order in which they are found: those
# that wait longest, for restarts, come first. `make test TEST_PROCESSES=0` is one process, without pytest-xdist.
TEST_PROCESSES ?= 2
test: $(BIN)/.installed-dev ## Run every test, with a real worker and a real broker, two at a time
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

lint: $(BIN)/.installed-dev ## Check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test ## What CI runs

fuzz: $(BIN)/.installed-dev ## Send 5,000 damaged and hostile uploads to a real service, and judge what comes of them
	$(BIN)/python -m tests.fuzz

bench: $(BIN)/.installed-dev ## Print what each stage costs: seconds, x real time, peak memory
	$(BIN)/python -m tests.bench

chaos: $(BIN)/.installed-dev ## Kill every part of the service at random, 200 times: no job may be lost
	$(BIN)/python -m tests.chaos --rounds 200

docs: $(BIN)/.installed-dev ## Write the generated pages, the pictures of the method and the notebook anew
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/make_method_pictures.py
	$(BIN)/python examples/make_notebook.py

clean: ## Remove the virtual environment and all caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
