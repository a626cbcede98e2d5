# The commands of this project. `make help` lists them.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The Python that makes the virtual environment: `make setup PYTHON=python3.12`
PYTHON ?= python3
# Passed on to the server: `make serve SERVE_ARGS="--port 9000"`
SERVE_ARGS ?=
# Passed on to pytest, which uses all cores unless told otherwise: `make test PYTEST_ARGS="-n 0 -k retry"`
PYTEST_ARGS ?= -n auto --dist worksteal
# Passed on to the benchmarks
BENCH_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help
help: ## List these commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMP) ## Make .venv with exactly the locked dependencies and this project

# A stamp and not the directory: it is only there if every step before it succeeded.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "gql_app needs Python 3.11 or newer, but '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: serve
serve: setup ## Serve on http://127.0.0.1:8000 (GraphiQL at /graphql)
	@exec $(BIN)/gql-app serve $(SERVE_ARGS)

.PHONY: check
check: setup ## Check format, lint, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: test
test: check ## Run every check and every test
	$(BIN)/pytest $(PYTEST_ARGS)

.PHONY: format
format: setup ## Format the code and repair what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: setup ## Measure and print the numbers
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

.PHONY: soak
soak: setup ## Run the property, crash and simulation tests with many more examples, kills and seeds
	GQL_APP_SOAK=1 $(BIN)/pytest -m "hypothesis or crash or simulation" $(PYTEST_ARGS)

.PHONY: lock
lock: setup ## Lock the newest dependencies that pyproject.toml admits
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --upgrade --all-extras --strip-extras --allow-unsafe \
	  --generate-hashes --no-emit-options --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	  --output-file requirements.lock pyproject.toml

.PHONY: assets
assets: ## Rebuild the page's own copy of GraphiQL (needs Node.js)
	npm ci
	npm run assets
