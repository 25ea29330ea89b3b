SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv

SWAGGER_UI := pixyproxy/entrypoints/http/openapi/swagger_ui
SWAGGER_UI_VERSION := 5.35.0

.DEFAULT_GOAL := help
.PHONY: help run set-up test chaos cluster bench-scale bench-reads bench-library bench-delivery bench-hostile bench-edits bench-answers bench-s3 bench-s3-delivery bench-gallery check lint format lock vendor clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: .venv/runtime ## Serve on http://127.0.0.1:8000, with SQLite and files under ./data
	@$(BIN)/pixyproxy serve

.NOTPARALLEL:

set-up:
	@tests/set_up

test: set-up .venv/dev ## Install what the tests need (as root or with sudo), run the whole suite, report what was skipped
	@$(BIN)/python -m tests.clients.environments
	@$(BIN)/pytest --numprocesses auto --dist loadscope --no-loadscope-reorder $(PYTEST_ARGS)

chaos: .venv/dev ## Break 3,000 creations in every way under a new seed, and account for each
	PIXYPROXY_CHAOS_TRIALS=$${PIXYPROXY_CHAOS_TRIALS:-3000} \
	PIXYPROXY_CHAOS_SEED=$${PIXYPROXY_CHAOS_SEED:-$$(date +%s)} $(BIN)/pytest tests/chaos/test_campaign.py

cluster: .venv/dev ## Kill, freeze and cut off machines under load, and check every image; write docs/scale.md
	PYTHONPATH=. $(BIN)/python bench/cluster.py --write

bench-scale: .venv/dev ## Measure details, lists and content from 1, 2 and 4 replicas; write docs/scale.md
	PYTHONPATH=. $(BIN)/python bench/scale.py --write

bench-reads: .venv/dev .venv/bench ## Measure details, lists and thumbnails beside other services; write docs/benchmarks.md
	PYTHONPATH=. $(BIN)/python bench/reads.py

bench-library: .venv/dev ## Measure lists and searches of 1,000,000 images; write docs/benchmarks.md
	PYTHONPATH=. $(BIN)/python bench/library.py

bench-delivery: .venv/dev ## Measure delivery beside nginx; write docs/benchmarks.md
	PYTHONPATH=. $(BIN)/python bench/delivery.py

bench-hostile: .venv/dev ## Attack the service, measure memory and latency of others; write docs/benchmarks.md
	PYTHONPATH=. $(BIN)/python bench/hostile.py --write

bench-edits: .venv/dev ## Measure the memory of edits with large references; write docs/benchmarks.md
	PYTHONPATH=. $(BIN)/python bench/edits.py --write

bench-answers: .venv/dev ## Measure the memory of answers with large pictures in base64; write docs/benchmarks.md
	PYTHONPATH=. $(BIN)/python bench/answers.py --write

bench-s3: .venv/dev ## Measure content in S3 beside the raw client; write docs/benchmarks.md
	PYTHONPATH=. $(BIN)/python bench/s3.py --write

bench-s3-delivery: .venv/dev ## Measure each delivery from S3 beside files; write docs/benchmarks.md
	PYTHONPATH=. $(BIN)/python bench/s3_delivery.py --write

bench-gallery: .venv/dev ## Measure the gallery in Chromium, scrolling through 10,000 images; write docs/gallery.md
	PYTHONPATH=. $(BIN)/python bench/gallery.py --write

check: lint test ## Everything CI checks: format, lint, types, layers, tests

lint: set-up .venv/dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/dev ## Format the code and apply the linter's safe fixes
	$(BIN)/ruff check --fix-only --exit-zero
	$(BIN)/ruff format

CLIENTS := openai openai-1 litellm langchain node

lock: .venv/dev ## Recompile requirements/*.txt and the lock file of tests/clients/node
	$(call compile,runtime,pyproject.toml --group build)
	$(call compile,dev,pyproject.toml --group dev)
	$(call compile,bench,--group bench)
	$(foreach client,$(CLIENTS),$(call compile,client-$(client),--group client-$(client)) &&) true
	$(BIN)/python -m tests.clients.environments --lock

vendor: ## Fetch the files of Swagger UI anew from npm, which changes nothing
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	npm pack --silent --pack-destination "$$folder" swagger-ui-dist@$(SWAGGER_UI_VERSION) >/dev/null && \
	tar -xzf "$$folder"/*.tgz -C "$$folder" && cd $(SWAGGER_UI) && \
	for file in $$(sed 's/.* //' SHA256SUMS); do \
		sed -E 's|^/[/*]# sourceMappingURL=.*$$||' "$$folder/package/$$file" >"$$file" || exit; \
	done && sha256sum --check --quiet SHA256SUMS

compile = $(UV) pip compile $(2) --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-annotate --custom-compile-command 'make lock' --output-file requirements/$(1).txt

clean: ## Remove everything the other targets created, except ./data
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist *.egg-info

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("PixyProxy needs Python 3.11 or later: make PYTHON=python3.11 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

# The installed set is replaced only when its lock file changes; `dev` holds all of `runtime`.
.venv/runtime .venv/dev: .venv/%: requirements/%.txt pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# What only the peers of a benchmark need.
.venv/bench: requirements/bench.txt .venv/dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@
