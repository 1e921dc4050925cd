# `make demo`: one scheduled training run on a throw-away state. `make demo-live`: decisions on bars as they come.
# `make up`: the whole system, until Ctrl-C.
.DELETE_ON_ERROR:
.PHONY: up demo demo-live check test system lint types compiled quick sqlite postgresql system-sqlite system-postgresql \
	debian-packages screenshots faults lock audit vendor clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Python caches compiled modules even if the shell forbids it, because the targets start many processes.
export PYTHONDONTWRITEBYTECODE =
# The demo ignores these settings of .env, so that the demo changes only its own state.
OF_ITS_OWN := DATABASE_URL= REDIS_URL= MARKET_DATA_ROOT= ARTIFACT_ROOT= CHECKPOINT_ROOT= FLOWER_URL= HTTPS=0

up: .venv/runtime .env
	@exec $(BIN)/python manage.py up

demo: .venv/runtime .env
	@exec env $(OF_ITS_OWN) STATE_DIR="$$(mktemp -d -u)" $(BIN)/python manage.py up --once

# Decisions on a market that is played back, on a throw-away state.
demo-live: .venv/runtime .env
	@exec env $(OF_ITS_OWN) STATE_DIR="$$(mktemp -d -u)" $(BIN)/python manage.py demo_live

# Each test process computes with one thread. The tests of a file share what they start, so they run in one process.
check test system sqlite postgresql system-sqlite system-postgresql quick compiled faults: export OMP_NUM_THREADS = 1
PYTEST := $(BIN)/pytest --dist loadfile --no-loadscope-reorder
PARALLEL := $(MAKE) --no-print-directory --jobs 4 --output-sync=target

# The fast check: linters, types, and the tests that start no process and run no compiled code.
check: .venv/development
	@$(PARALLEL) lint types quick

# Linters, types, and all tests but those of `make system`: on SQLite, and those that use the database on PostgreSQL too.
test: .venv/development
	@$(PARALLEL) lint types compiled debian-packages
	@$(PARALLEL) sqlite postgresql

# On both databases, the tests with the marker `system`; on PostgreSQL also those of SYSTEM_ON_POSTGRESQL in
# tests/databases.py.
system: .venv/development
	@$(PARALLEL) compiled debian-packages
	@$(PARALLEL) system-sqlite system-postgresql

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

# Compile once before the tests: test processes that start together would each compile the same functions.
compiled:
	@$(BIN)/python -m tests.warm_up

# Skip the collection of files whose tests are all deselected, and of the plugin that only one of these files needs.
API_BOUNDS := --ignore tests/dashboard/api/test_schema_bounds.py
NO_SCHEMA := -p no:schemathesis --ignore tests/dashboard/api/test_schema.py $(API_BOUNDS)

# `make check` compiles nothing and trains nothing: it leaves out the tests that run compiled code, whose compilation takes
# 20 s, or torch, and tests that spend seconds on statistics, passwords, backups, old databases, every URL, bombs, random
# cases and 100,000 rows.
NOT_QUICK := browser faults benchmarks decisions worker accounts alerts storage validation runs/test_reaping.py \
	schedule/test_slot_ledger.py test_documents.py test_trainable.py test_upgrade.py \
	$(addprefix core/,deciding evaluation ppo run trading market/files/test_robustness.py market/files/test_times.py) \
	$(addprefix dashboard/api/,deciding test_access.py test_scale.py test_summary_api.py) \
	$(addprefix dashboard/pages/,account validating policy/test_decisions_tab.py policy/test_arm_comparisons.py)
quick: export NUMBA_DISABLE_JIT = 1
quick:
	$(PYTEST) -n 2 $(NO_SCHEMA) $(addprefix --ignore=tests/,$(NOT_QUICK)) -m "not process and not long" --durations=15

# Skip the collection of folders whose tests all drive processes.
NOT_SYSTEM := --ignore tests/browser --ignore tests/faults
sqlite:
	$(PYTEST) -n 2 $(API_BOUNDS) $(NOT_SYSTEM) -m "not system and not long" --durations=15

postgresql:
	$(BIN)/python -m tests.postgres $(PYTEST) -n 1 $(NO_SCHEMA) $(NOT_SYSTEM) -m "django_db and not system and not long" --durations=15

system-sqlite:
	$(PYTEST) -n 3 $(NO_SCHEMA) -m "system and not long" --durations=15

system-postgresql:
	$(BIN)/python -m tests.postgres $(PYTEST) -n 2 $(NO_SCHEMA) -m "system and (django_db or faults) and not long" --durations=15

# Programs that tests need, each with its Debian package. The tests of a missing program are skipped.
DEBIAN_PACKAGES := chromium:chromium promtool:prometheus docker-compose:docker-compose nginx:nginx-light caddy:caddy
debian-packages:
	@for pair in $(DEBIAN_PACKAGES); do \
		program=$${pair%:*} package=$${pair#*:}; \
		command -v $$program >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
			{ apt-get install -y --no-install-recommends $$package >&2 || \
			{ apt-get update >&2 && apt-get install -y --no-install-recommends $$package >&2; }; } } || \
			echo "NOT RUN: the tests that need $$program (Debian package $$package), which cannot be installed here." >&2; \
	done

# Pictures of every page, taken of a system that trains for them.
screenshots: .venv/development debian-packages
	$(BIN)/python -m tests.browser.screenshots

# Every fault case and the other long tests, with the time limits of production: two hours or so, mostly waiting. pytest
# knows the options of tests/faults only if the folder is named.
faults: LONG := $(BIN)/pytest -n 6 tests/faults tests -m "long or faults" --real-limits --repetitions 50 --storm-minutes 30
faults: .venv/development debian-packages compiled
	$(LONG)
	$(BIN)/python -m tests.postgres $(LONG)

# Keeps the pinned versions that still fit; `make lock UPGRADE=--upgrade` takes the newest versions.
lock: COMPILE = $(BIN)/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 \
	--annotation-style line --custom-compile-command "make lock" --generate-hashes $(UPGRADE)
lock: .venv/development
	$(COMPILE) requirements.in --output-file requirements.txt
	$(COMPILE) requirements-dev.in --output-file requirements-dev.txt
	$(COMPILE) requirements-audit.in --output-file requirements-audit.txt
	sed -i.whole -E '/^(cuda-|nvidia-|triton=|torch=)/,/^    # via/d' requirements.txt requirements-dev.txt
	rm requirements.txt.whole requirements-dev.txt.whole

# Third-party scripts of the pages, each from its npm package with its licence. To update one, change its version here.
HTMX := 4.0.1
UPLOT := 1.6.32
VENDOR := dashboard/static/dashboard/vendor
vendor:
	mkdir -p $(VENDOR)
	cd $(VENDOR) && npm pack --silent htmx.org@$(HTMX) uplot@$(UPLOT)
	cd $(VENDOR) && tar -xzOf htmx.org-$(HTMX).tgz package/dist/htmx.min.js > htmx.min.js
	cd $(VENDOR) && tar -xzOf htmx.org-$(HTMX).tgz package/LICENSE > htmx.LICENSE
	cd $(VENDOR) && tar -xzOf uplot-$(UPLOT).tgz package/dist/uPlot.iife.min.js > uPlot.iife.min.js
	cd $(VENDOR) && tar -xzOf uplot-$(UPLOT).tgz package/dist/uPlot.min.css > uPlot.min.css
	cd $(VENDOR) && tar -xzOf uplot-$(UPLOT).tgz package/LICENSE > uPlot.LICENSE
	rm $(VENDOR)/htmx.org-$(HTMX).tgz $(VENDOR)/uplot-$(UPLOT).tgz

# Known vulnerabilities and licences of the locked packages, and a bill of materials in build/.
audit: .venv/runtime build/audit
	@$(BIN)/python -m quantum_trader.audit

build/audit: requirements-audit.txt
	@$(PYTHON) -m venv build/audit
	@build/audit/bin/pip install --disable-pip-version-check --quiet --require-hashes --requirement requirements-audit.txt >&2
	@touch $@

clean:
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Without --no-compile, most of the time would go into modules that no process of the system imports.
.venv/runtime: requirements.txt requirements-torch.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one, as in: make up PYTHON=/usr/bin/python3.12" >&2; exit 1; }
	@echo "Installing the requirements into .venv: a few minutes, this once." >&2
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --no-compile --disable-pip-version-check --require-hashes --requirement requirements.txt >&2
	@$(BIN)/pip install --no-compile --disable-pip-version-check --requirement requirements-torch.txt >&2
	@touch $@

# Test processes that start together would each compile the packages. Modules for newer Pythons do not compile.
.venv/development: .venv/runtime requirements-dev.txt
	@echo "Installing the test tools into .venv." >&2
	@$(BIN)/pip install --no-compile --disable-pip-version-check --require-hashes --requirement requirements-dev.txt >&2
	@$(BIN)/python -m compileall -qq --workers 0 .venv/lib || true
	@touch $@

.env:
	@$(PYTHON) -m quantum_trader.first_env
