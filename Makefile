# Every command of the project. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MEMBERS := core api worker operator hack/samples/demo-tasks
VENV := .venv
BIN := $(VENV)/bin
UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate $(foreach m,core api worker operator demo-tasks,--no-emit-package orchestrator-$(m))

.PHONY: lock
lock: ## Resolve all dependencies again into requirements/*.txt (hashes, no download addresses)
	$(UV_COMPILE) --group dev pyproject.toml --output-file requirements/dev.txt
	$(UV_COMPILE) --constraint requirements/dev.txt --group build --output-file requirements/build.txt
	for image in api worker operator; do \
	  $(UV_COMPILE) --constraint requirements/dev.txt $$image/pyproject.toml --output-file requirements/$$image.txt; done
