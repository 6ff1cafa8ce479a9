# `make help` lists the commands. Each prepares the environment in .venv that it needs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
PY := $(VENV)/bin/python
UV := $(shell command -v uv)
# Compiled modules are kept in the environment, also where PYTHONDONTWRITEBYTECODE is set: compiling takes 5 s at first,
# and a second in each of the hundred processes that the tests start.
COMPILED := PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=$(CURDIR)/$(VENV)/bytecode

help: ## show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(VENV)/run.stamp ## serve on embedded PostgreSQL and Valkey (settings: FITNESS_*)
	@exec env --block-signal=INT $(VENV)/bin/fitness serve # until it can end without a traceback: see main.py

test: $(VENV)/dev.stamp ## run all tests, on engines that they start themselves
	@$(MAKE) --no-print-directory --keep-going --jobs=2 test-engines test-http test-others

# These spend most of their time waiting for the engines, so running two at a time takes half the time.
test-engines: $(VENV)/dev.stamp
	@$(COMPILED) $(PY) -m pytest -m engines --ignore-glob='tests/integration/test_http_*' --ignore-glob='tests/integration/*oracle.py'

test-http: $(VENV)/dev.stamp
	@$(COMPILED) $(PY) -m pytest -q -m engines $(wildcard tests/integration/test_http_*.py tests/integration/*oracle.py)

test-others: $(VENV)/dev.stamp
	@$(COMPILED) $(PY) -m pytest -q -m "not engines"

unit: $(VENV)/dev.stamp ## run the unit tests, which need no engines, in half a minute
	@$(COMPILED) $(PY) -m pytest -q tests/unit -m "not slow"

soak: $(VENV)/dev.stamp ## load the service and break things, for half an hour: stale reads, faults, kill -9, rate limits, logins, revocations, uploads
	@$(PY) -m tests.soak.freshness
	@$(PY) -m tests.soak.faults
	@$(PY) -m tests.soak.busy
	@$(PY) -m tests.soak.outage
	@$(PY) -m tests.soak.lease_states
	@$(PY) -m tests.soak.crashes
	@$(PY) -m tests.soak.imports
	@$(PY) -m tests.soak.rereading
	@$(PY) -m tests.soak.jobs
	@$(PY) -m tests.soak.limits
	@$(PY) -m tests.soak.logins
	@$(PY) -m tests.soak.revocations
	@$(PY) -m tests.soak.hold
	@$(PY) -m tests.soak.disconnects
	@$(PY) -m tests.soak.ends
	@$(PY) -m tests.soak.hostile_files
	@$(PY) -m tests.soak.hostile_pictures
	@$(PY) -m tests.soak.live
	@$(PY) -m tests.soak.photo_crashes
	@$(PY) -m tests.soak.renaming
	@$(PY) -m tests.soak.migrating

bench: $(VENV)/dev.stamp ## measure the cost of each kind of request, in three minutes; OTHER=../other-checkout compares two checkouts
	@$(PY) -m ops.bench.speed $(if $(OTHER),--other $(OTHER))

watch: $(VENV)/dev.stamp ## check dashboards, counts and alerts under a real Prometheus and Alertmanager (Debian's)
	@$(PY) -m tests.soak.watching

lint: $(VENV)/dev.stamp ## run ruff, mypy --strict and import-linter; check compose file, Dockerfile and Kubernetes manifests
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
	@$(VENV)/bin/check-jsonschema -q --builtin-schema vendor.compose-spec docker-compose.yml
	@$(VENV)/bin/hadolint Dockerfile
	@$(VENV)/bin/kubernetes-validate --strict --quiet ops/kubernetes/fitness.yaml

rules: ## check the alert rules, their cases and Alertmanager's settings (needs Debian's packages of both)
	promtool check config --syntax-only ops/prometheus/prometheus.yml
	promtool check rules ops/prometheus/rules.yml
	promtool test rules ops/prometheus/rules.test.yml ops/prometheus/burn.test.yml
	amtool check-config ops/alertmanager/alertmanager.yml

proxy: $(VENV)/dev.stamp ## test the proxy, with two minutes of load (needs Debian's nginx, iproute2 and wrk, and root)
	@command -v nginx ip wrk >/dev/null || { echo "make: apt-get install nginx iproute2 wrk" >&2; exit 1; }
	@$(PY) -m pytest -q tests/integration/test_proxy.py
	@$(PY) -m tests.soak.proxy

clients: $(VENV)/dev.stamp .clients/clients.stamp ## generate a Python client from the API's document, type-check it, make a round of requests with it
	@$(PY) -m tests.clients.check python

clients-typescript: $(VENV)/dev.stamp tests/clients/typescript/node_modules ## as clients, in TypeScript (needs node and npm)
	@$(PY) -m tests.clients.check typescript

describe: $(VENV)/dev.stamp tests/clients/describe/node_modules ## check the API's document by Redocly's and Spectral's rules (needs node and npm)
	@$(PY) -m tests.clients.check rules

fuzz: $(VENV)/dev.stamp .clients/clients.stamp .clients/fuzz.stamp ## send random requests, valid and invalid by the API's document, with three seeds (schemathesis)
	@$(PY) -m tests.clients.fuzz

fuzz-briefly: $(VENV)/dev.stamp .clients/clients.stamp .clients/fuzz.stamp # as CI does: one seed, few cases
	@$(PY) -m tests.clients.fuzz --examples 3 1

browser: $(VENV)/dev.stamp tests/clients/browser/node_modules ## test the reference and pages of other sites in Chromium (needs Debian's chromium, node and npm)
	@command -v chromium >/dev/null || { echo "make: apt-get install chromium" >&2; exit 1; }
	@$(PY) -m tests.clients.browse $(SCREENSHOTS)

# The checks of clients that this machine has the programs for. They run beside the tests, after those without engines.
checks-of-clients: test-others
	@$(MAKE) --no-print-directory clients
	@$(MAKE) --no-print-directory fuzz-briefly
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory clients-typescript describe; fi

lint-aside: $(VENV)/dev.stamp
	@$(MAKE) --no-print-directory lint

# What .ci/run runs: one job is test-engines, the other one does the rest in this order.
ci: $(VENV)/dev.stamp
	@$(MAKE) --no-print-directory --keep-going --jobs=2 test-engines lint-aside test-http checks-of-clients

format: $(VENV)/dev.stamp ## apply ruff's fixes and formatting
	@$(VENV)/bin/ruff check --fix-only .
	@$(VENV)/bin/ruff format .

pins: ## pin the newest versions that pyproject.toml allows (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade \
		pyproject.toml --extra build -o requirements/run.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		-c requirements/run.txt pyproject.toml --extra build --extra dev -o requirements/dev.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade \
		requirements/clients.in -o requirements/clients.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade \
		-c requirements/clients.txt requirements/fuzz.in -o requirements/fuzz.txt

clean: ## remove the environment and the caches (never the data)
	rm -rf $(VENV) .clients .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
ifdef UV
	@uv venv -q $(VENV)
else
	@python3 -m venv $(VENV) || { echo "make: needs uv, or a python3 with venv (on Debian: python3-venv)" >&2; exit 1; }
endif

# The generators have an environment of their own, since their pins differ from the service's.
.clients/%.stamp: requirements/%.txt
ifdef UV
	@test -x .clients/bin/python || uv venv -q .clients
	@uv pip install -q --python .clients/bin/python --require-hashes -r requirements/$*.txt
else
	@test -x .clients/bin/python || python3 -m venv .clients
	@.clients/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/$*.txt
endif
	@touch $@

tests/clients/%/node_modules: tests/clients/%/package-lock.json
	@command -v npm >/dev/null || { echo "make: needs node and npm" >&2; exit 1; }
	@cd $(@D) && npm ci --silent --no-audit --no-fund
	@touch $@

$(VENV)/%.stamp: requirements/%.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing requirements/$*.txt into $(VENV)"
ifdef UV
	@uv pip install -q --python $(PY) --require-hashes -r requirements/$*.txt
	@uv pip install -q --python $(PY) --no-deps --no-build-isolation -e .
else
	@$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements/$*.txt
	@$(PY) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
endif
	@touch $@


.PHONY: help test-engines test-http test-others ci lint-aside checks-of-clients fuzz-briefly clients clients-typescript describe fuzz browser run test unit soak bench watch lint rules proxy format pins clean
