# Every target sets up what it needs; `make` alone lists them. The work is in
# scripts/, which also runs without make.

SHELL := bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# One target folder for all clones of a user. It only saves time: see scripts/env.sh.
CAPSULE_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/capsule
CARGO_TARGET_DIR ?= $(CAPSULE_CACHE)/target
export CAPSULE_CACHE CARGO_TARGET_DIR

# make test SUITES="rust vm"
SUITES ?=
# make bench ARGUMENTS="--rounds 20", make bench ARGUMENTS="wasm --peer VENV"
ARGUMENTS ?=

.PHONY: help
help: ## Say what there is
	@echo "usage: make TARGET"
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## \(.*\)/  \1|\2/p' Makefile | while IFS='|' read -r name text; do printf '  %-12s %s\n' $$name "$$text"; done

.PHONY: setup
setup: ## Install what building and testing need (apt as root, rustup targets)
	@scripts/setup.sh build test

.PHONY: build
build: ## Build the static binaries into dist/
	@scripts/setup.sh build
	@scripts/build.sh

.PHONY: build-aarch64
build-aarch64: ## Build capsule-run for aarch64 into dist/
	@scripts/setup.sh build
	@scripts/build.sh aarch64

.PHONY: test
test: setup ## Run every suite and close with the counts (SUITES="rust vm" for some)
	@scripts/test.sh $(SUITES)

.PHONY: demo
demo: build ## Show what Capsule does, in a minute
	@scripts/demo.sh

.PHONY: bench
bench: build ## Repeat the published numbers on this machine (ARGUMENTS for flags)
	@scripts/setup.sh bench
	@bench/run.sh $(ARGUMENTS)

.PHONY: lint
lint: ## Check formatting, clippy and shellcheck
	@scripts/lint.sh

.PHONY: docs
docs: ## Build the API documentation, warnings are errors
	@RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	@echo "$(CARGO_TARGET_DIR)/doc"

.PHONY: check
check: ## Type-check fast, then the rules of the house and the generated files
	@cargo check --workspace --all-targets --quiet
	@cargo run --quiet -p xtask -- tidy
	@cargo run --quiet -p xtask -- schema --check

.PHONY: clean
clean: ## Remove dist/ and this project's build output
	@rm -rf dist
	@cargo clean --quiet
