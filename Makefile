# KubeOps: `make demo` shows it, `make test` proves it. `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
KUBEOPS := $(TARGET)/quick/kubeops

# The same commit has the same cases of its properties each time; `explore` looks for others.
test: SEED := 1
explore: SEED := $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')

# What is run on the oldest and on the newest PostgreSQL too.
ON_EACH_POSTGRES := store::postgres::

.DEFAULT_GOAL := help
.PHONY: help build demo run test explore torture torture-cuts torture-drafts lint bench setup clean fmt

help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

build: ## The release binary: target/release/kubeops
	@scripts/setup.sh build
	$(CARGO) build --locked --release

demo: ## A ticket and an alert, each turned into a pull request to look at (ONCE=1: end by itself)
	@scripts/setup.sh build
	@echo "Building (the first time takes some minutes)..."
	$(CARGO) build --locked --profile quick --bin kubeops
	$(KUBEOPS) demo $(if $(ONCE),--once)

run: ## The server, on the resources of config/resources
	@scripts/setup.sh build
	$(CARGO) build --locked --profile quick --bin kubeops
	RESOURCES_DIR=$${RESOURCES_DIR:-config/resources} LOG_LEVEL=$${LOG_LEVEL:-INFO} $(KUBEOPS) serve

setup: ## Install what the tests need
	@scripts/setup.sh test

test: setup lint ## Everything that CI runs
	PROPTEST_RNG_SEED=$(SEED) $(CARGO) test --locked --all-targets --features failpoints
	@shopt -s nullglob; for programs in target/postgres/*/; do \
		echo "The store on PostgreSQL $$(basename "$$programs")"; \
		KUBEOPS_TEST_POSTGRES="$(CURDIR)/$$programs" PROPTEST_RNG_SEED=$(SEED) \
			$(CARGO) test --locked --features failpoints --test it -- $(ON_EACH_POSTGRES); \
	done

explore: ## The properties again, on cases that nobody has seen yet (SEED=n: on those of a seed)
	@echo "seed: $(SEED)"
	PROPTEST_RNG_SEED=$(SEED) $(CARGO) test --locked --lib --features failpoints

torture: ## The real program under fire, its ledgers reconciled (TORTURE_SEED=n, TORTURE_KILLS=n or TORTURE_SECONDS=n, TORTURE_STORE=sqlite|postgres|both, TORTURE_REPLICAS=1|3|both)
	@scripts/setup.sh test
	$(CARGO) test --locked --features failpoints --test it -- torture::torture --exact --ignored --nocapture \
		| tee $(TARGET)/torture.log; status=$${PIPESTATUS[0]}; grep '^torture: [0-9]* kills, ' $(TARGET)/torture.log | tail -n 1; exit $$status

torture-cuts: ## The power fails under the program, and what was not synced is gone (root; TORTURE_SEED=n, TORTURE_CUTS=n, TORTURE_STORE=sqlite|postgres|both)
	@scripts/setup.sh test
	$(CARGO) test --locked --features failpoints --test it -- torture::cuts::torture_by_cuts --exact --ignored --nocapture \
		| tee $(TARGET)/torture-cuts.log; status=$${PIPESTATUS[0]}; grep '^cuts: ' $(TARGET)/torture-cuts.log | tail -n 1; exit $$status

torture-drafts: ## Adversarial completions through the real program, judged from outside (TORTURE_SEED=n, TORTURE_PLAYED=n)
	@scripts/setup.sh test
	$(CARGO) test --locked --features failpoints --test it -- drafts::torture::torture_by_completions --exact --ignored --nocapture \
		| tee $(TARGET)/torture-drafts.log; status=$${PIPESTATUS[0]}; grep '^drafts: ' $(TARGET)/torture-drafts.log | tail -n 1; exit $$status

lint: ## Formatting, clippy, licences and advisories
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets --features failpoints,bench -- -D warnings
	@scripts/deny.sh

bench: ## Figures against references measured in the same run; one JSON line each in target/bench/summary.jsonl
	@scripts/setup.sh bench
	scripts/bench.sh

fmt: ## Format the sources
	$(CARGO) fmt

clean: ## Remove what was built
	$(CARGO) clean
