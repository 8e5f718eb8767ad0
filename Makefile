# Every target sets up what it needs. Requires python3 (3.11+) with venv, and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# More than there are cores: tests of real processes wait most of the time.
PYTEST_WORKERS ?= 4
# Tests start hundreds of Python processes: without bytecode on disk each would compile what it imports.
export PYTHONDONTWRITEBYTECODE =
# Tests of what is not installed are left out, and `make test` says which.
missing = $(if $(shell command -v $(1) >/dev/null && command -v $(2)),,$(3))
LEFT_OUT := $(strip $(call missing,chromium,chromedriver,browser) $(call missing,pgbouncer,pgbouncer,pgbouncer) \
	$(call missing,prometheus,promtool,prometheus) $(call missing,faketime,faketime,faketime) \
	$(if $(wildcard .httpbin/.installed),,httpbin))
EMPTY :=
CHOSEN = $(if $(LEFT_OUT),-m 'not ($(subst $(EMPTY) $(EMPTY), or ,$(LEFT_OUT)))')

COMPILED := build/compiled

.DEFAULT_GOAL := help
.PHONY: help setup httpbin demo test unit check faults compiled test-compiled test-again test-compiled-again bench bench-all bench-headline bench-100k bench-conformance bench-hotread bench-faults bench-rollouts soak clean

help:  ## show this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV) || { echo "python3 with venv is required (Debian: apt-get install python3-venv)"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(STAMP)  ## create the virtual environment with all dependencies

# The data path is compiled if possible; if not, hatch_build.py exits with 3 and says why.
demo: $(STAMP)  ## run a complete migration on real backends; ONCE=1 exits at the end; STRANGLER_COMPILE=never starts at once
	@path=; $(BIN)/python hatch_build.py; case $$? in \
		0) $(MAKE) -s compiled && path=$(COMPILED) || [ "$$STRANGLER_COMPILE" != always ] || exit 2 ;; \
		3) ;; \
		*) exit 2 ;; \
	esac; PYTHONPATH=$$path exec $(BIN)/strangler demo $(if $(ONCE),--once)

# Tests wait more than they compute, so linter, type checker and coverage run beside them, and are shown at the end.
test: $(STAMP)  ## run the linter, the type checker and all tests
	@log=$$(mktemp); nice $(MAKE) --no-print-directory -j2 --output-sync=target check coverage >$$log 2>&1 & checking=$$!; trap "kill $$checking" INT TERM; \
	tested=0; $(BIN)/pytest -n $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder --durations 25 $(CHOSEN) || tested=$$?; \
	checked=0; wait $$checking || checked=$$?; cat $$log; rm -f $$log; [ $$tested$$checked = 00 ]
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

unit: $(STAMP)  ## run the tests of core, config and store: half a minute
	$(BIN)/pytest -n $(PYTEST_WORKERS) --dist loadfile tests/core tests/config tests/store

check: $(STAMP)  ## run only the linter and the type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Whether these tests pass, the whole run says; here few examples are enough, and no simulation of traffic.
COVERED := build/coverage/.done
$(COVERED): $(STAMP) $(shell find proxy/core proxy/config tests/core tests/config -name '*.py')
	@mkdir -p $(@D)
	@rm -f $(@D)/data
	-$(BIN)/coverage run -m pytest -p no:cacheprovider --hypothesis-profile few --deselect $(SIMULATED) --ignore tests/core/rollout/test_simulations.py tests/core tests/config
	$(BIN)/coverage report
	@touch $@
SIMULATED := tests/core/comparison/test_noise.py::test_both_planted_faults_are_found_at_the_n_that_is_stated_and_nothing_else

coverage: $(COVERED)  ## lines of proxy/core and proxy/config that their tests reach; fails below the floor in pyproject.toml

# -n and -W: a link or an anchor that leads nowhere, or a page that is in no list, is an error.
docs: $(STAMP)  ## the site of docs/, in build/site; a broken link or a setting that is not documented fails
	$(BIN)/sphinx-build -q -n -W --keep-going -d build/doctrees -b html docs build/site
	$(BIN)/pytest tests/docs/test_links.py tests/config/test_model.py
	@echo "file://$(CURDIR)/build/site/index.html"

hooks: $(STAMP)  ## before each commit git runs what `make check` does, on what has changed
	$(BIN)/pre-commit install

faults: $(STAMP)  ## send 20,000 writes under 200 faults and check the databases; FAULTS="--seed 2 --writes 1000", or with full pools: FAULTS="--saturate --store postgresql"
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

compiled: $(COMPILED)/.built  ## build a wheel with a compiled data path in build/wheel; needs a C compiler, takes about a minute

COMPILED_TESTS := tests/core/http1 tests/edge/test_smuggling.py tests/edge/exchange/test_exchange.py tests/edge/client/test_http1.py \
	tests/edge/upstream/test_connection.py tests/edge/exchange/test_keyed_write.py tests/edge/test_identity.py tests/edge/test_one_answer.py \
	tests/edge/test_slow_clients.py tests/edge/upstream/test_stalled.py tests/edge/test_fallback.py tests/edge/client/test_tunnel.py \
	tests/edge/test_fuzz.py tests/edge/exchange/test_expectation.py tests/edge/exchange/test_trials.py tests/built_wheel.py
COMPILED_PYTEST := PYTHONPATH=$(COMPILED) $(BIN)/pytest --import-mode=append -m 'not interpreted' -p tests.compiled $(COMPILED_TESTS)

test-compiled: $(COMPILED)/.built  ## run the black-box tests of the parser and the edge on the compiled data path, and the wheel in an empty environment
	$(COMPILED_PYTEST) -n $(PYTEST_WORKERS) --dist loadfile

# Tests of real processes can fail on a machine that stalls: one more try for what failed, alone, and named.
AGAIN := --last-failed --last-failed-no-failures none -rfEp

test-again: check coverage
	$(BIN)/pytest $(AGAIN)

test-compiled-again: $(COMPILED)/.built
	$(COMPILED_PYTEST) $(AGAIN)

bench: $(STAMP) $(if $(shell command -v $(or $(CC),cc)),$(COMPILED)/.built)  ## measure the cost of the data path, next to nginx, HAProxy and Starlette + httpx
	$(BIN)/python -m bench
	$(BIN)/python -m bench.writes
	$(BIN)/python -m bench.access_log

bench-all: $(STAMP) $(if $(shell command -v $(or $(CC),cc)),$(COMPILED)/.built)  ## measure every scenario and probe; about 40 minutes; writes docs/results/performance.md
	$(BIN)/python -m bench --scenario all --rounds 5 --seconds 2 --document docs/results/performance.md
	-$(BIN)/python -m bench.instructions

bench-headline: $(STAMP) $(if $(shell command -v $(or $(CC),cc)),$(COMPILED)/.built)  ## measure how many users Flask and FastAPI serve, for I/O waits of 20 to 200 ms; about 20 minutes; writes docs/results/scale.md
	$(BIN)/python -m bench.headline --document docs/results/scale.md

bench-100k: $(STAMP) $(if $(shell command -v $(or $(CC),cc)),$(COMPILED)/.built)  ## open 100,000 connections through the proxy at once; about 7 minutes; writes docs/results/scale.md
	$(BIN)/python -m bench.hundredk --document docs/results/scale.md

bench-conformance: $(STAMP)  ## send odd and hostile bytes to this proxy, nginx and HAProxy; writes docs/results/conformance.md
	$(BIN)/python -m bench.conformance docs/results/conformance.md

bench-hotread: $(STAMP)  ## measure what collapsing and Redis gain for a hot read; one minute; writes docs/results/caching.md
	$(BIN)/python -m bench.hotread --into docs/results/caching.md

bench-faults: $(STAMP)  ## how soon planted faults are found, beside Diffy's rule; about 10 minutes, into docs/results/faultfinder.md
	$(BIN)/python -m bench.faultfinder --document docs/results/faultfinder.md

bench-rollouts: $(STAMP)  ## simulate guarded rollouts in fake time; about 25 minutes, into docs/results/rollouts.md
	$(BIN)/python -m bench.rollouts --minutes $(or $(MINUTES),20)

soak: $(STAMP)  ## mixed traffic while weights flip and processes are killed; MINUTES=10 SEED=1
	$(BIN)/python -m bench.soak --minutes $(or $(MINUTES),10) --seed $(or $(SEED),1)

clean:  ## remove everything that was built or left behind
	rm -rf $(VENV) .demo .strangler .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info bench/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
