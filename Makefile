# Two commands do everything on a fresh machine: `make demo` and `make test`. `make` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
SOURCES := crds/interplay_api operator/interplay_operator runner/interplay_runner cli/interplay_cli
CHECKED := $(SOURCES) cluster images examples benchmarks tests
DIGITS := examples/digits/evaluation.yaml
SIZE ?= full
SHARD ?= 1/1

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# uv reads no pip configuration, so an index that pip is told about is passed on.
$(VENV)/ready: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "interplay: needs Python 3.11 or newer"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "installing python3-venv"; apt-get update -q && apt-get install -y -q python3-venv; }
	@echo "setting up $(VENV) (torch is large: a few minutes the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q uv==$(UV_VERSION)
	@index=$$($(BIN)/pip config get global.index-url 2>/dev/null || true); \
	  UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$$index}"; [ -z "$$UV_DEFAULT_INDEX" ] || export UV_DEFAULT_INDEX; \
	  $(BIN)/uv pip install -q -p $(VENV) --compile-bytecode --require-hashes -r constraints.txt && \
	  $(BIN)/uv pip install -q -p $(VENV) --no-deps -e .
	@touch $@

.PHONY: setup demo run test lint types generate verify images results cluster-up cluster-down zoo lock bench-operator faults faults-full mutants clean
setup: $(VENV)/ready ## Make the virtual environment

demo: setup ## A Kubernetes, the images, the chart, twelve models: ends with their table
	@examples/digits/demo.sh

run: setup ## The same Evaluation without any cluster
	@$(BIN)/interplay run $(DIGITS)

test: lint types verify ## All checks and tests
	@tests/run

lint: setup ## Style and import rules
	@$(BIN)/ruff check $(CHECKED)
	@$(BIN)/ruff format --check -q $(CHECKED)
	@$(BIN)/lint-imports --no-cache | tail -n 3

types: setup ## Types, strict, sources and tests
	@$(BIN)/mypy $(CHECKED)

generate: setup ## Write what is made from other files: CRDs, requirements of images, measurements.md
	@$(BIN)/python -m interplay_api.crd
	@$(BIN)/python images/requirements.py
	@$(BIN)/python -m interplay_runner.docs

verify: setup ## Fail where a generated file is stale
	@$(BIN)/python -m interplay_api.crd --check
	@$(BIN)/python images/requirements.py --check
	@$(BIN)/python -m interplay_runner.docs --check

images: setup ## Build both images
	@$(BIN)/python -m cluster images

cluster-up: setup ## Start a local Kubernetes (kubeconfig: .cluster/kubeconfig)
	@$(BIN)/python -m cluster up

cluster-down: setup ## Stop it and leave nothing behind
	@$(BIN)/python -m cluster down

results: setup ## Measure the whole catalogue on the digits anew (half an hour)
	@mkdir -p .build
	@$(BIN)/interplay run examples/digits/catalogue.yaml -o csv > .build/results.csv
	@mv .build/results.csv examples/digits/results.csv

zoo: setup ## Train the twelve digits models anew
	@$(BIN)/python -m interplay_runner.zoo.train

bench-operator: setup ## The operator under load, 40 minutes of an idle machine (SIZE=quick: 3)
	@$(BIN)/python -m cluster binaries etcd kube-apiserver kube-controller-manager
	@$(BIN)/python -m benchmarks.operator --size $(SIZE)

faults: setup ## 600 faults and 2,000 hostile inputs against the operator, 75 minutes
	@$(BIN)/python -m cluster binaries etcd kube-apiserver kube-controller-manager
	@$(BIN)/python -m tests.faults

faults-full: setup ## All of them, one part of several (SHARD=1/4), taken up where it ended
	@$(BIN)/python -m cluster binaries etcd kube-apiserver kube-controller-manager
	@$(BIN)/python -m tests.faults --full --shard $(SHARD)

mutants: setup ## Ten broken operators, each of which the faults must catch
	@$(BIN)/python -m cluster binaries etcd kube-apiserver kube-controller-manager
	@$(BIN)/python -m tests.faults --mutants

lock: setup ## Resolve the pinned dependencies anew
	@$(BIN)/uv pip compile -q --upgrade pyproject.toml --all-extras --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate -o constraints.txt
	@$(MAKE) --no-print-directory generate

clean: cluster-down ## Remove what builds and tests leave in this folder
	@rm -rf $(VENV) .build .cluster .mypy_cache .ruff_cache .pytest_cache *.egg-info
