# Every command of daily work. Each target that needs the environment depends on it, so that `make demo` or `make test`
# is all a fresh machine with python3.11+, pip and make has to be told. `setup` repeats only what has changed.

PYTHON ?= python3
SEED ?= 1
PYTEST ?=
ROUNDS ?= 50
LOG ?= sqlite
VENV := .venv
BIN := $(VENV)/bin
DATA := .agentspan/demo
CHAOS := $(addprefix tests/kafka/,test_crash_matrix.py test_frozen.py test_storm.py test_three_brokers.py)
SOURCES := schemas sdk services tests examples bench
CHROMIUM := /usr/bin/chromium
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/agentspan-test/bin
HELM := helm.sh/helm/v3/cmd/helm@v3.22.0
KUBECONFORM := github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
COMPILE := CUSTOM_COMPILE_COMMAND="make requirements" PIP_FIND_LINKS= $(BIN)/pip-compile --quiet --generate-hashes \
	--allow-unsafe --strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

.DEFAULT_GOAL := help
.PHONY: help setup run demo test test-kafka chaos-kafka check check-deploy bench bench-parked bench-load bench-restore bench-compare bench-history simulate schemas requirements browser kafka-programs

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.project  ## make .venv with everything pinned (the other targets do it when needed)

run: setup  ## start the server on the demo's history: http://localhost:6767
	AGENTSPAN_REPLAY_DIR=$(DATA)/recordings $(BIN)/agentspan server start --data $(DATA)

demo: setup  ## handle 526 tickets, kill the server in the middle, and compare every outcome
	$(BIN)/python -m examples.retail_support.demo

test: setup browser  ## run all tests but those that need Kafka
	$(BIN)/pytest -n auto -m "not kafka" $(PYTEST)

test-kafka: setup kafka-programs  ## run the tests that need Kafka, on a real broker (Docker, or Java and Maven)
	$(BIN)/pytest -m kafka $(PYTEST) tests/contract tests/kafka tests/e2e/test_bench.py

chaos-kafka: setup  ## fifty of each disaster on a real broker, and ten minutes of rebalances: make chaos-kafka ROUNDS=50
	AGENTSPAN_CHAOS_ROUNDS=$(ROUNDS) $(BIN)/pytest -m kafka --timeout 7200 $(CHAOS)

check: setup  ## lint, format, types, import rules, schema drift
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m agentspan_schemas.generate --check
	$(BIN)/python -m agentspan_standalone.openapi --check
	$(BIN)/python -m docs.reference.generate --check

check-deploy: setup $(TOOLS)/helm $(TOOLS)/kubeconform  ## check the Helm chart (needs Go; builds helm the first time)
	AGENTSPAN_TOOLS=$(TOOLS) $(BIN)/pytest helm/checks
	$(BIN)/mypy helm/checks

bench: setup  ## measure the job of seven steps: make bench LOG=sqlite (or kafka)
	$(BIN)/python -m bench jobs --log $(LOG)

bench-parked: setup  ## park executions, kill everything, go on: make bench-parked N=10000 LOG=sqlite
	$(BIN)/python -m bench parked --log $(LOG) --count $(or $(N),10000)

bench-load: setup  ## many tickets at once, slow models, and things that die: make bench-load N=100000
	$(BIN)/python -m bench load --log $(LOG) --count $(or $(N),100000)

bench-restore: setup  ## a server on Kafka that has lost its caches: make bench-restore N=100000
	$(BIN)/python -m bench restore --count $(or $(N),100000)

bench-history: setup  ## how long lists take over 1,000,000 executions: make bench-history WRITING=5000
	$(BIN)/python -m bench.history --writing $(or $(WRITING),0)

bench-compare: setup  ## ratios between the last runs of two commits: make bench-compare A=1f00d B=beef5
	$(BIN)/python -m bench compare $(A) $(B)

simulate: setup  ## replay one simulated run exactly: make simulate SEED=7
	$(BIN)/python -m tests.simulation --seed $(SEED)

schemas: setup  ## write the JSON Schemas, the OpenAPI document and the reference anew from the code
	$(BIN)/python -m agentspan_schemas.generate
	$(BIN)/python -m agentspan_standalone.openapi
	$(BIN)/python -m docs.reference.generate

requirements: setup  ## pin the dependencies anew from pyproject.toml, with hashes
	$(COMPILE) --upgrade --extra server --extra kafka --extra bedrock --extra vertex \
		--constraint requirements/constraints.txt --output-file requirements/server.txt pyproject.toml
	$(COMPILE) --upgrade --extra server --extra kafka --extra dev --constraint requirements/server.txt \
		--output-file requirements/dev.txt pyproject.toml
	$(COMPILE) --upgrade --only-build-deps --build-deps-for wheel --constraint requirements/dev.txt \
		--output-file requirements/build.txt pyproject.toml

# The stamps: dependencies are installed again when the pins change, the project when its metadata does. A python that
# lacks ensurepip, as Debian's does, fills the environment with its own pip.
$(VENV)/.dependencies: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is not one. Name another: make setup PYTHON=python3.11"; exit 1; }
	@[ -x $(BIN)/python ] || if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then $(PYTHON) -m venv $(VENV); \
		else $(PYTHON) -m venv --without-pip $(VENV); fi
	@echo "Installing the pinned dependencies into $(VENV): some minutes the first time"
	@pip="$(BIN)/python -m pip"; $$pip --version >/dev/null 2>&1 || pip="$(PYTHON) -m pip --python $(BIN)/python"; \
		$$pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.project: $(VENV)/.dependencies pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Built once, from Go's module proxy.
$(TOOLS)/helm:
	@echo "Building helm: some minutes the first time"
	GOBIN=$(TOOLS) go install $(HELM)

$(TOOLS)/kubeconform:
	GOBIN=$(TOOLS) go install $(KUBECONFORM)

# The browser tests drive the distribution's own Chromium, which pip cannot install.
browser:
	@if [ -x $(CHROMIUM) ]; then :; \
	elif [ "`id -u`" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing Chromium for the browser tests"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; \
	else \
		echo "The browser tests need $(CHROMIUM). Install it, on Debian with: sudo apt-get install chromium"; exit 1; \
	fi

# What the Kafka tests run beside the broker: the examples in Java, and kcat where the distribution has it.
kafka-programs:
	@if command -v mvn >/dev/null && command -v javac >/dev/null && command -v kcat >/dev/null; then :; \
	elif [ "`id -u`" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing Java, Maven and kcat for the Kafka tests"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
			default-jdk-headless maven kcat; \
	elif command -v mvn >/dev/null && command -v javac >/dev/null; then :; \
	else \
		echo "The Kafka tests need Java and Maven. Install them, on Debian with: sudo apt-get install default-jdk-headless maven"; \
		exit 1; \
	fi
