# FinanceLake. Each target is a command that a person could type; `make` alone lists them.
# Any key of .env can be given for one run: make local TICKS_PER_SECOND=500
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
export PYTHON
BIN := .venv/bin
IVY = $(wildcard .venv/lib/python3*/site-packages/pyspark/jars/ivy-*.jar)
READY := .venv/.ready build/jars/.ready build/spark.jsa
PAGE := build/page/.ready

.PHONY: help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ The lake in containers
.PHONY: up down logs ps
up: ## build, start in the background, wait until healthy
	@local/require python docker
	@PYTHONPATH=local:role "$(PYTHON)" -m finance_local.containers
	docker compose up --build --detach --wait --wait-timeout 300
	@echo "Healthy. Next: \`make show\` for the table, \`docker compose logs -f spark-job\` for the story, \`make down\` to stop."

down: ## stop, keep all data
	docker compose --profile dashboard down

logs: ## follow all logs
	docker compose logs --follow --tail 50

ps: ## state and health of the containers
	docker compose ps --all

##@ The lake as local processes
.PHONY: local
local: $(READY) .env ## run in the foreground; Ctrl-C stops (RUN_SECONDS=60 stops by itself)
	@exec $(BIN)/python -m finance_local

##@ Look at it
.PHONY: dashboard
dashboard: .venv/.ready $(PAGE) ## the live dashboard in the foreground, http://127.0.0.1:8050; Ctrl-C ends it
	@exec $(BIN)/financelake serve

##@ The lake's data
.PHONY: show verify recover redrive reset
show: .venv/.ready ## count and newest rows of the table
	@$(BIN)/financelake show

verify: .venv/.ready ## prove that the tables equal the topic; exit codes: financelake verify --help
	@$(BIN)/financelake verify

recover: $(READY) ## repair: make the tables the source of truth (YES=1 does not ask; SKIP=2:1234 leaves a record out, EXCUSE=2:1234 excuses one)
	@$(BIN)/python -m finance_local.repair recover

redrive: .venv/.ready ## move quarantined records that pass the rules now (REASON=price_decimals, or all)
	@$(BIN)/python -m finance_local.repair redrive

reset: ## delete all state, after asking (YES=1 does not ask)
	@PYTHONPATH=local:role "$(PYTHON)" -m finance_local.reset

##@ Development
.PHONY: check test test-unit test-stack test-faults smoke chaos lock bench clean
check: .venv/.ready ## format, lint, types, compose schema, shell and Docker lint
	@tests/check

test: test-unit test-stack ## every test that this machine can run

test-unit: .venv/.ready $(PAGE) ## the tests that need neither Java nor Docker, on all cores
	$(BIN)/pytest --numprocesses auto --dist worksteal tests/unit

test-stack: $(READY) $(PAGE) ## the tests with Kafka, Spark, a browser, an installed package
	$(BIN)/pytest tests/package tests/browser tests/spark tests/stack

smoke: $(READY) ## the container smoke test: up, ticks, restart in mid-stream, all there once, down
	@local/require docker
	$(BIN)/pytest -m 'containers and not faults' tests/containers

chaos: $(READY) ## break a scratch lake at random, then prove it whole (SEED=7 ROUNDS=30 CHAOS_IN=containers)
	@$(BIN)/python -m tests.chaos

test-faults: $(READY) ## the long half of the fault matrix
	$(BIN)/pytest -m faults tests

bench: $(READY) $(PAGE) ## measure; prints a table (SHORT=1: a few minutes)
	$(BIN)/python -m bench.run

lock: .venv/.ready ## pin the requirements anew
	@for name in build producer spark-job page dashboard dev; do $(BIN)/uv pip compile --quiet --python-version 3.11 --universal --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header requirements/$$name.in -o requirements/$$name.txt; done

clean: ## remove the virtualenv, the jars and caches; no data
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache

# ---- made when first needed ---------------------------------------------------------------------------------------------
.env:
	cp .env.example .env

.venv/.ready: requirements/build.txt requirements/dev.txt pyproject.toml
	@local/require python
	@echo "Making the virtualenv (once, a minute or two) ..."
	@"$(PYTHON)" -m venv .venv
	@$(BIN)/pip install --quiet --require-hashes --requirement requirements/build.txt
	@$(BIN)/pip install --quiet --require-hashes --no-build-isolation --use-pep517 --requirement requirements/dev.txt
	@$(BIN)/pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

# The chart library, by the hashes of its lock file; its own scripts are not run. `financelake serve` serves what is beside the page.
build/page/.ready: lake/package.json lake/package-lock.json lake/put-beside-page | .venv/.ready
	@PATH="$(CURDIR)/$(BIN):$$PATH" lake/put-beside-page build/page
	@touch $@

build/jars/.ready: jars/kafka.lock jars/spark.lock | .venv/.ready
	@local/require java
	@$(BIN)/python jars/fetch.py jars/spark.lock build/jars/spark --ivy "$(IVY)"
	@$(BIN)/python jars/fetch.py jars/kafka.lock build/jars/kafka --ivy "$(IVY)"
	@touch $@

build/spark.jsa: build/jars/.ready | .venv/.ready
	@echo "Archiving the classes of the job for quicker starts (once, half a minute) ..."
	@$(BIN)/python -m finance_job.archive $@ >$@.log 2>&1 || { tail -n 3 $@.log >&2; \
	  echo "The archive could not be made: $@.log has all of it; \`financelake doctor\` says what this machine lacks." >&2; exit 1; }
