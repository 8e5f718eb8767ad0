# Every target sets up what it needs. Needs python3 (3.11+) with venv, and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST_WORKERS ?= 4
# Tests of what is not installed are left out, and `make test` says which.
missing = $(if $(shell command -v $(1) >/dev/null && command -v $(2)),,$(3))
LEFT_OUT := $(strip $(call missing,chromium,chromedriver,browser) $(call missing,pgbouncer,pgbouncer,pgbouncer) \
	$(call missing,prometheus,promtool,prometheus) $(call missing,faketime,faketime,faketime) \
	$(if $(wildcard .httpbin/.installed),,httpbin))
EMPTY :=
CHOSEN = $(if $(LEFT_OUT),-m 'not ($(subst $(EMPTY) $(EMPTY), or ,$(LEFT_OUT)))')

COMPILED := build/compiled

.DEFAULT_GOAL := help
.PHONY: help setup httpbin demo test unit check faults compiled test-compiled test-again test-compiled-again bench bench-all bench-headline bench-100k bench-conformance bench-hotread bench-faults soak clean

help:  ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV) || { echo "python3 with venv is needed (Debian: apt-get install python3-venv)"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(STAMP)  ## virtual environment with everything in it

# With the data path compiled where that can be done: hatch_build.py exits with 3, and says why, where it cannot.
demo: $(STAMP)  ## the whole migration on real backends; ONCE=1 exits instead of staying up; STRANGLER_COMPILE=never starts at once
	@path=; $(BIN)/python hatch_build.py; case $$? in \
		0) $(MAKE) -s compiled && path=$(COMPILED) || [ "$$STRANGLER_COMPILE" != always ] || exit 2 ;; \
		3) ;; \
		*) exit 2 ;; \
	esac; PYTHONPATH=$$path exec $(BIN)/strangler demo $(if $(ONCE),--once)

# Tests start hundreds of Python processes: without bytecode on disk each would compile what it imports.
test: export PYTHONDONTWRITEBYTECODE =
test: check  ## lint, types, all tests
	$(BIN)/pytest -n $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder --durations 25 $(CHOSEN)
	@$(if $(filter browser,$(LEFT_OUT)),echo "left out: the status page in a browser (Debian: apt-get install chromium chromium-driver)",:)
	@$(if $(filter pgbouncer,$(LEFT_OUT)),echo "left out: async_api behind PgBouncer (Debian: apt-get install pgbouncer)",:)
	@$(if $(filter prometheus,$(LEFT_OUT)),echo "left out: alert rules and a scrape by Prometheus (Debian: apt-get install prometheus)",:)
	@$(if $(filter faketime,$(LEFT_OUT)),echo "left out: workers whose clock is off (Debian: apt-get install faketime)",:)
	@$(if $(filter httpbin,$(LEFT_OUT)),echo "left out: a replay to httpbin and httpbinx (make httpbin)",:)

# Not in the same environment: httpbin wants an older greenlet, httpbinx an older FastAPI.
httpbin: .httpbin/.installed  ## the two services of docs/examples/httpbin, for the tests that replay to them

.httpbin/.installed: docs/examples/httpbin/legacy.txt docs/examples/httpbin/async.txt
	for side in legacy async; do $(PYTHON) -m venv .httpbin/$$side \
		&& .httpbin/$$side/bin/pip install --quiet --disable-pip-version-check -r docs/examples/httpbin/$$side.txt || exit 1; done
	@touch $@

unit: $(STAMP)  ## the pure parts, the parsers, the configuration and the store: half a minute
	$(BIN)/pytest -n $(PYTEST_WORKERS) --dist loadfile tests/core tests/config tests/store

check: $(STAMP)  ## lint and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

faults: $(STAMP)  ## 20,000 writes and 200 faults, then the databases; FAULTS="--seed 2 --writes 1000", or with full pools: FAULTS="--saturate --store postgresql"
	$(BIN)/python -m tests.faults $(FAULTS)

# The proxy with its data path compiled by mypyc. Its sources stay as they are; `python -m proxy` runs those.
$(COMPILED)/.built: $(STAMP) hatch_build.py $(shell find proxy -type f ! -name '*.pyc')
	@STRANGLER_COMPILE=always $(BIN)/python hatch_build.py
	@echo "Compiling the data path; this takes a minute or two, once for these sources"
	rm -rf build/wheel $(COMPILED)
	STRANGLER_COMPILE=always $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w build/wheel .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-index --target $(COMPILED) build/wheel/*.whl
	rm -rf $(addprefix $(COMPILED)/,legacy_flask async_api fx_provider)  # of them the sources run
	@touch $@

compiled: $(COMPILED)/.built  ## a wheel with the data path as machine code, in build/wheel; needs a C compiler, takes about a minute

COMPILED_TESTS := tests/core/http1 tests/edge/test_smuggling.py tests/edge/exchange/test_exchange.py tests/edge/client/test_http1.py \
	tests/edge/upstream/test_connection.py tests/edge/exchange/test_keyed_write.py tests/edge/test_identity.py tests/edge/test_one_answer.py \
	tests/edge/test_slow_clients.py tests/edge/upstream/test_stalled.py tests/edge/test_fallback.py tests/edge/client/test_tunnel.py \
	tests/edge/test_fuzz.py tests/edge/exchange/test_expectation.py tests/built_wheel.py
COMPILED_PYTEST := PYTHONPATH=$(COMPILED) $(BIN)/pytest --import-mode=append -m 'not interpreted' -p tests.compiled $(COMPILED_TESTS)

test-compiled: $(COMPILED)/.built  ## the parser's and the edge's black-box tests against the compiled data path, and the wheel in an empty environment
	$(COMPILED_PYTEST) -n $(PYTEST_WORKERS) --dist loadfile

# Tests of real processes can fail on a machine that stalls: one more try for what failed, alone, and named.
AGAIN := --last-failed --last-failed-no-failures none -rfEp

test-again: $(STAMP)
	$(BIN)/pytest $(AGAIN)

test-compiled-again: $(COMPILED)/.built
	$(COMPILED_PYTEST) $(AGAIN)

bench: $(STAMP) $(if $(shell command -v $(or $(CC),cc)),$(COMPILED)/.built)  ## cost of the data path beside nginx, HAProxy and Starlette + httpx
	$(BIN)/python -m bench
	$(BIN)/python -m bench.writes
	$(BIN)/python -m bench.access_log

bench-all: $(STAMP) $(if $(shell command -v $(or $(CC),cc)),$(COMPILED)/.built)  ## every scenario and probe; about 40 minutes; writes docs/performance.md
	$(BIN)/python -m bench --scenario all --rounds 5 --seconds 2 --document docs/performance.md
	-$(BIN)/python -m bench.instructions

bench-headline: $(STAMP) $(if $(shell command -v $(or $(CC),cc)),$(COMPILED)/.built)  ## users that Flask and FastAPI bear, for I/O waits of 20 to 200 ms; about 20 minutes; writes docs/scale.md
	$(BIN)/python -m bench.headline --document docs/scale.md

bench-100k: $(STAMP) $(if $(shell command -v $(or $(CC),cc)),$(COMPILED)/.built)  ## 100,000 connections open at once through the proxy; about 7 minutes; writes docs/scale.md
	$(BIN)/python -m bench.hundredk --document docs/scale.md

bench-conformance: $(STAMP)  ## odd and hostile bytes to this proxy, nginx and HAProxy; writes docs/conformance.md
	$(BIN)/python -m bench.conformance docs/conformance.md

bench-hotread: $(STAMP)  ## what collapsing and Redis bring where many ask for the same; one minute, into docs/caching.md
	$(BIN)/python -m bench.hotread --into docs/caching.md

bench-faults: $(STAMP)  ## how soon planted faults are found, beside Diffy's rule; about 10 minutes, into docs/results/faultfinder.md
	$(BIN)/python -m bench.faultfinder --document docs/results/faultfinder.md

soak: $(STAMP)  ## mixed traffic while weights flip and processes are killed; MINUTES=10 SEED=1
	$(BIN)/python -m bench.soak --minutes $(or $(MINUTES),10) --seed $(or $(SEED),1)

clean:  ## remove everything that was built or left behind
	rm -rf $(VENV) .demo .strangler .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info bench/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
