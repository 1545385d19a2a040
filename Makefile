# Every command of the project. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
MEMBERS := core api worker operator hack/samples/demo-tasks
INSTALLED := $(VENV)/.installed
BENCH_VENV := .venv-bench
BENCH_INSTALLED := $(BENCH_VENV)/.installed
PYTEST := $(BIN)/pytest

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---------------------------------------------------------------- running

.PHONY: up
up: setup ## Get a cluster, build the images, install the platform, run tasks, say what to try next
	@$(BIN)/python -m hack.stack up

.PHONY: down
down: setup ## Remove the platform, end the cluster if `make up` started it
	@$(BIN)/python -m hack.stack down

.PHONY: kubeconfig api-url edge-url
kubeconfig: ## Print the path of the cluster's kubeconfig: export KUBECONFIG=$(make -s kubeconfig)
api-url: ## Print the API's address after `make up`: curl $(make -s api-url)/health
edge-url: ## Print nginx's address after `make up`; what comes this way is limited
kubeconfig api-url edge-url: $(INSTALLED)
	@$(BIN)/python -m hack.stack $@

# ---------------------------------------------------------------- checking

.PHONY: test
test: setup ## Everything: lint, types, imports, unit, integration, contract, end-to-end
	@# Images are built while types are checked. Contract tests mostly wait for pods, integration tests
	@# for servers: side by side they take half.
	@$(MAKE) --jobs=2 check cluster
	@$(MAKE) --jobs=2 --output-sync=target integration contract
	@$(MAKE) e2e

.PHONY: check
check: lint types imports unit verify ## Format, lint, types, imports, unit tests: under a minute

.PHONY: lint
lint: setup ## Check format and style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

.PHONY: types
types: setup ## Check types, strictly
	$(BIN)/mypy

.PHONY: imports
imports: setup ## Check who may import whom
	$(BIN)/lint-imports

.PHONY: unit
unit: setup services ## Unit tests: no network, no clock
	$(PYTEST) --numprocesses=2 tests/unit

.PHONY: services
services: ## Install Debian's Postgres, Redis, RabbitMQ and Prometheus for the tests (needs root)
	@python3 -m hack.services

.PHONY: integration
integration: setup services ## Tests against real Postgres, Redis and RabbitMQ, which they start and end
	ORCHESTRATOR_API_MIGRATE_BINARY="$$(python3 -m hack.cluster tool migrate)" \
	VERSITYGW_BINARY="$$(python3 -m hack.cluster tool versitygw)" \
	JAEGER_BINARY="$$(python3 -m hack.cluster tool jaeger)" $(PYTEST) --numprocesses=2 --dist=loadscope --durations=10 tests/integration

.PHONY: cluster
cluster: setup ## Like `up`, without the platform: a cluster, the images, the operator
	@$(BIN)/python -m hack.stack prepare

.PHONY: contract
contract: setup cluster ## Tests of what two parts promise each other, and of what images promise
	@$(BIN)/python -m hack.stack run -- $(PYTEST) tests/contract

.PHONY: e2e
e2e: setup cluster services ## Tests of the platform on a real cluster
	@JAEGER_BINARY="$$(python3 -m hack.cluster tool jaeger)" \
	$(BIN)/python -m hack.stack run -- $(PYTEST) --numprocesses=2 --dist=loadscope --durations=10 tests/e2e

.PHONY: pictures
pictures: $(BENCH_INSTALLED) ## Draw the dashboards as the last end-to-end run saw them: tests/e2e/artifacts/*.png
	$(BENCH_VENV)/bin/python tests/e2e/drawing.py tests/e2e/artifacts

.PHONY: bench-api
bench-api: setup ## Measure submissions against a textbook service; fails below twice its rate
	@PYTHONPATH=tests/support $(BIN)/python -m tests.bench $(ARGUMENTS)

.PHONY: bench
bench: setup $(BENCH_INSTALLED) ## Measure the engine beside Celery, Dramatiq, Taskiq; writes tests/bench/results
	@PYTHONPATH=tests/support $(BIN)/python -m tests.bench.engine $(ARGUMENTS)

.PHONY: bench-handlers
bench-handlers: setup ## Measure each task type beside its work alone; fails at 10 % overhead over 0.1 s
	@PYTHONPATH=tests/support $(BIN)/python -m tests.bench.types $(ARGUMENTS)

.PHONY: bench-scaling
bench-scaling: setup $(BENCH_INSTALLED) ## Compare the scaling law with KEDA's rules in a model; writes tests/bench/results
	@PYTHONPATH=tests/support $(BIN)/python -m tests.bench.scaling $(ARGUMENTS)

.PHONY: bench-telemetry
bench-telemetry: setup ## Measure what metrics and traces cost; fails at 5 % for one trace in ten
	@PYTHONPATH=tests/support $(BIN)/python -m tests.bench.telemetry $(ARGUMENTS)

.PHONY: bench-operator
bench-operator: setup cluster ## Measure what 50 resources cost the operator; fails if any is written at rest
	@$(BIN)/python -m hack.stack run -- $(BIN)/python -m tests.bench.operator $(ARGUMENTS)

# ---------------------------------------------------------------- generated files

.PHONY: generate
generate: setup services ## Write generated files again: the CRD, the chart's copy, README, dashboards and rules, schema.sql, golden files
	$(BIN)/python -m orchestrator_operator.crd
	$(BIN)/python -m hack.chart_readme
	$(BIN)/python -m hack.monitoring
	ORCHESTRATOR_UPDATE_GOLDEN=1 $(PYTEST) -q tests/unit/operator tests/integration/stores/test_schema.py

.PHONY: verify
verify: setup ## Fail when a generated file is out of date
	$(BIN)/python -m orchestrator_operator.crd --check
	$(BIN)/python -m hack.chart_readme --check
	$(BIN)/python -m hack.monitoring --check

.PHONY: lock
lock: setup ## Resolve all dependencies again into requirements/*.txt (hashes, no download addresses)
	hack/lock.sh

# ---------------------------------------------------------------- setting up

.PHONY: setup
setup: $(INSTALLED) ## Make the virtual environment .venv from the locks; every other command does so first

$(INSTALLED): requirements/bootstrap.txt requirements/dev.txt pyproject.toml $(addsuffix /pyproject.toml,$(MEMBERS))
	@echo "installing the development environment (usually 20 s)" >&2
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/bootstrap.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(foreach m,$(MEMBERS),--editable ./$(m))
	touch $@

$(BENCH_INSTALLED): requirements/bench.txt | $(INSTALLED)
	@echo "installing the systems to compare with (usually 20 s)" >&2
	python3 -m venv $(BENCH_VENV)
	$(BIN)/uv pip sync --quiet --python $(BENCH_VENV)/bin/python --require-hashes requirements/bench.txt
	touch $@
