# `make demo`: one scheduled training run on a throw-away state. `make up`: the whole system, until Ctrl-C.
.DELETE_ON_ERROR:
.PHONY: up demo test lock clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Whatever .env says, the demo and the tests touch nothing but what they make.
OF_ITS_OWN := DATABASE_URL= REDIS_URL= MARKET_DATA_ROOT= ARTIFACT_ROOT= CHECKPOINT_ROOT= FLOWER_URL= HTTPS=0

up: .venv/runtime .env
	@exec $(BIN)/python manage.py up

demo: .venv/runtime .env
	@exec env $(OF_ITS_OWN) STATE_DIR="$$(mktemp -d -u)" $(BIN)/python manage.py up --once

# One torch thread for each of the two processes. By file: the tests of a file share what they start.
test: export OMP_NUM_THREADS = 1
test: PYTEST = $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder
test: .venv/development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST)
	$(BIN)/python -m tests.postgres $(PYTEST) -m django_db

# Keeps the versions that are pinned and still fit; `make lock UPGRADE=--upgrade` takes the newest.
lock: COMPILE = $(BIN)/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 \
	--annotation-style line --custom-compile-command "make lock" $(UPGRADE)
lock: .venv/development
	$(COMPILE) requirements.in --output-file requirements.txt
	$(COMPILE) requirements-dev.in --output-file requirements-dev.txt
	sed -i.whole -E '/^(cuda|nvidia)-|^triton=/d' requirements.txt requirements-dev.txt
	rm requirements.txt.whole requirements-dev.txt.whole

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Without --no-compile, most of the time would go into modules that are never imported.
.venv/runtime: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one, as in: make up PYTHON=/usr/bin/python3.12" >&2; exit 1; }
	@echo "Installing the requirements into .venv: a minute or two, this once." >&2
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --no-compile --disable-pip-version-check --requirement requirements.txt >&2
	@touch $@

.venv/development: .venv/runtime requirements-dev.txt
	@echo "Installing the test tools into .venv." >&2
	@$(BIN)/pip install --no-compile --disable-pip-version-check --requirement requirements-dev.txt >&2
	@touch $@

.env:
	@$(PYTHON) -m quantum_trader.first_env
