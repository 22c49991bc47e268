# FinanceLake. `make` alone lists the commands.
# To change a key of .env for one run, set it on the command line: make local TICKS_PER_SECOND=500
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
# The S3 server: `make local` builds it only with S3=1, on the command line or in .env. Tests need it.
S3_SERVER := build/s3/versitygw
S3 ?= $(shell sed -n 's/^S3=//p' .env 2>/dev/null)
# The jars with which Spark reads an object store: `make local` fetches them only for derived tables of a lake there.
S3A := build/jars/s3a/.ready
LAKE_URI ?= $(shell sed -n 's/^LAKE_URI=//p' .env 2>/dev/null)
BARS_SECONDS ?= $(shell sed -n 's/^BARS_SECONDS=//p' .env 2>/dev/null)
WANTS_S3A = $(and $(filter 1,$(S3))$(LAKE_URI),$(filter-out 0,$(or $(BARS_SECONDS),60)))
# Kafka 4: `make local` fetches its jars only with KAFKA_VERSION=4. Tests of it need them too.
KAFKA_4 := build/jars/kafka-4/.ready
KAFKA_VERSION ?= $(shell sed -n 's/^KAFKA_VERSION=//p' .env 2>/dev/null)
# One test more than cores at a time, because many of them wait for processes. tests/support/schedule.py groups and mixes them.
WORKERS = $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
BESIDE = $(BIN)/pytest --numprocesses $(WORKERS) --no-loadscope-reorder -m 'not faults and not alone'
ALONE = $(BIN)/pytest -m 'alone and not faults' tests/stack
PACKAGES = $(sort $(notdir $(patsubst %/,%,$(wildcard */finance_*/))))

.PHONY: help
help: ## list the commands
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ The lake in containers
.PHONY: up down logs ps
up: ## build, start in the background, wait until healthy
	@local/require python docker
	@PYTHONPATH=local:role "$(PYTHON)" -m finance_local.containers
	docker compose up --build --detach --wait --wait-timeout 300
	@echo "Healthy. Next: \`make show\` for the table, \`docker compose logs -f spark-job\` for the job's log, \`make down\` to stop."

down: ## stop and keep all data
	docker compose --profile dashboard down

logs: ## follow all logs
	docker compose logs --follow --tail 50

ps: ## show the state and health of the containers
	docker compose ps --all

##@ The lake as local processes
.PHONY: local
local: $(READY) .env $(if $(filter 1,$(S3)),$(S3_SERVER)) $(if $(WANTS_S3A),$(S3A)) $(if $(filter 4,$(KAFKA_VERSION)),$(KAFKA_4)) ## run in the foreground; Ctrl-C stops (RUN_SECONDS=60 stops after a minute)
	@exec $(BIN)/python -m finance_local

##@ Dashboard
.PHONY: dashboard
dashboard: .venv/.ready $(PAGE) ## run the dashboard in the foreground, http://127.0.0.1:8050; Ctrl-C stops
	@exec $(BIN)/financelake serve

##@ The lake's data
.PHONY: show verify recover redrive migrate-to-kraft reset
show: .venv/.ready ## show the row count and the newest rows
	@$(BIN)/financelake show

verify: .venv/.ready ## prove that the tables equal the topic (exit codes: financelake verify --help)
	@$(BIN)/financelake verify

recover: $(READY) ## repair the tables from Kafka (YES=1 does not ask; SKIP=2:1234 skips a record, EXCUSE=2:1234 excuses one; ADOPT=1 adopts a topic)
	@$(BIN)/python -m finance_local.repair recover

redrive: .venv/.ready ## move quarantined records that pass the current rules (REASON=price_decimals, or all)
	@$(BIN)/python -m finance_local.repair redrive

migrate-to-kraft: $(READY) ## migrate a stopped lake from ZooKeeper to KRaft, once (docs/KRAFT.md)
	@$(BIN)/python -m finance_local.migrate

reset: ## ask, then delete all state (YES=1 does not ask)
	@PYTHONPATH=local:role "$(PYTHON)" -m finance_local.reset

##@ Development
.PHONY: check test test-unit test-stack coverage test-faults test-cluster smoke chaos lock bench clean
check: .venv/.ready ## check format, lint, types, Compose schema, shell and Docker files
	@tests/check

test: $(READY) $(PAGE) $(S3_SERVER) ## run the unit and stack tests (containers: make smoke; slow faults: make test-faults)
	$(BESIDE)
	$(ALONE)

test-unit: .venv/.ready $(PAGE) $(S3_SERVER) ## run the tests that need neither Java nor Docker
	$(BESIDE) tests/unit

test-stack: $(READY) $(PAGE) $(S3_SERVER) ## run the tests with Kafka, Spark, a browser, an installed package
	$(BESIDE) tests/package tests/browser tests/spark tests/stack
	$(ALONE)

coverage: .venv/.ready $(PAGE) $(S3_SERVER) ## run the unit tests and print how much of each package they execute, in percent
	@rm -rf build/coverage && mkdir -p build/coverage
	$(BIN)/coverage run -m pytest --numprocesses auto --no-loadscope-reorder tests/unit
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage html --quiet
	@for package in $(PACKAGES); do printf '%-18s' "$$package"; $(BIN)/coverage report --format=total --include="*/$$package/*"; done
	@printf '%-18s' all; $(BIN)/coverage report --format=total
	@echo "Lines that no unit test executes: build/coverage/html/index.html"

smoke: $(READY) ## run the container smoke test: start, restart in mid-stream, verify, stop
	@local/require docker
	$(BIN)/pytest -m 'containers and not faults' tests/containers

chaos: $(READY) ## inject random faults into a scratch lake, then verify it (SEED=7 ROUNDS=30 CHAOS_IN=containers)
	@$(BIN)/python -m tests.chaos

test-faults: $(READY) $(S3_SERVER) $(S3A) $(KAFKA_4) ## run the slow half of the fault matrix
	$(BIN)/pytest -m 'faults and not cluster' tests

test-cluster: $(READY) $(S3_SERVER) ## kill and freeze nodes of a lake on three brokers and a Spark cluster (SHORT=1: one of each kind; SEED=7)
	$(BIN)/pytest -rP -m 'cluster$(if $(SHORT), and not faults)' tests/cluster

bench: $(READY) $(PAGE) $(if $(CLUSTER),$(S3_SERVER)) ## run the benchmarks and print a table (SHORT=1: a few minutes; CLUSTER=1: executors, brokers, S3)
	$(BIN)/python -m bench.$(if $(CLUSTER),cluster,run)

lock: .venv/.ready ## update the pinned requirements
	@for name in build producer spark-job page dashboard go dev; do $(BIN)/uv pip compile --quiet --python-version 3.11 --universal --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header requirements/$$name.in -o requirements/$$name.txt; done

clean: ## remove the virtualenv, the jars and caches; keeps all data
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache

# ---- created when needed ------------------------------------------------------------------------------------------------
.env:
	cp .env.example .env

.venv/.ready: requirements/build.txt requirements/dev.txt pyproject.toml
	@local/require python
	@echo "Creating the virtualenv (once, takes a minute or two) ..."
	@"$(PYTHON)" -m venv .venv
	@$(BIN)/pip install --quiet --require-hashes --requirement requirements/build.txt
	@$(BIN)/pip install --quiet --require-hashes --no-build-isolation --use-pep517 --requirement requirements/dev.txt
	@$(BIN)/pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

# The chart library, checked against the hashes of its lock file; its install scripts are not run. `financelake serve` serves it from beside the page.
build/page/.ready: lake/package.json lake/package-lock.json lake/put-beside-page | .venv/.ready
	@PATH="$(CURDIR)/$(BIN):$$PATH" lake/put-beside-page build/page
	@touch $@

build/jars/.ready: jars/kafka-3.9.lock jars/spark.lock | .venv/.ready
	@local/require java
	@$(BIN)/python jars/fetch.py jars/spark.lock build/jars/spark --ivy "$(IVY)"
	@$(BIN)/python jars/fetch.py jars/kafka-3.9.lock build/jars/kafka --ivy "$(IVY)"
	@touch $@

$(KAFKA_4): jars/kafka-4.lock
$(S3A): jars/s3a.lock
$(KAFKA_4) $(S3A): | .venv/.ready
	@local/require java
	@$(BIN)/python jars/fetch.py $< $(@D) --ivy "$(IVY)"
	@touch $@

build/s3/versitygw: s3/go.mod s3/go.sum s3/build
	@echo "Building the S3 server (once, takes some minutes) ..."
	@PATH="$(CURDIR)/$(BIN):$$PATH" s3/build $@ build/go

build/spark.jsa: build/jars/.ready | .venv/.ready
	@echo "Archiving the job's classes for faster starts (once, takes half a minute) ..."
	@$(BIN)/python -m finance_job.archive $@ >$@.log 2>&1 || { tail -n 3 $@.log >&2; \
	  echo "The class archive could not be created. The full output is in $@.log; \`financelake doctor\` checks this machine." >&2; exit 1; }
