# `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

STUB := http://127.0.0.1:8090

## run: the service in one process on http://127.0.0.1:8081, over the real GitHub
.PHONY: run
run: | prerequisites
	cargo build --release --locked -p api
	@echo
	@echo "Serving on http://127.0.0.1:8081 - the first fetch from GitHub takes 30 to 90 seconds:"
	@echo "  curl http://127.0.0.1:8081/api/popularity/kubernetes    (a 503 says how far it is)"
	@echo "  curl http://127.0.0.1:8081/refreshes"
	@echo
	exec target/release/api

## demo: the same over a stand-in for GitHub: no network, no token
.PHONY: demo
demo: | prerequisites
	cargo build --release --locked -p api -p github-stub
	@data=$$(mktemp -d); \
	target/release/github-stub --generate 2000 --seed 7 --topic kubernetes --topic mcp & stub=$$!; \
	trap 'kill $$stub 2>/dev/null; rm -rf "$$data"' EXIT; \
	echo; echo "Serving on http://127.0.0.1:8081:  curl http://127.0.0.1:8081/api/popularity/kubernetes"; echo; \
	GITHUB_API_URL=$(STUB) DATA_DIR=$$data target/release/api

## test: every test; installs what is missing through apt
.PHONY: test
test: | test-prerequisites
	api/tests/with-servers cargo test --workspace --locked --no-fail-fast

## load: a minute of load on a running service (LOAD_HOST, TOPIC), every answer checked; the report is in target/load.html
.PHONY: load
load: | prerequisites
	cargo build --release --locked -p loadtest
	target/release/loadtest --report-file target/load.html

## verify-lists: compares the three lists with what a script outside the code sorts from DATA=repositories.jsonl.gz
.PHONY: verify-lists
verify-lists: | test-prerequisites
	cargo build --locked -p api -p github-stub
	python3 api/tests/verify-lists.py --data "$(or $(DATA),$(error set DATA to a file of search items, one JSON object a line))" \
	    --api target/debug/api --github-stub target/debug/github-stub

## ci: format, lints, licences, docs and every test, with the time of each step
.PHONY: ci
ci: | test-prerequisites
	@$(call step,format,cargo fmt --all --check)
	@$(call step,clippy,cargo clippy --workspace --all-targets --locked -- -D warnings)
	@$(call step,cargo deny,$(MAKE) --no-print-directory deny)
	@$(call step,docs,RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet)
	@if [ -n "$${REAL_DATA_DIR:-}" ]; then $(call step,lists,$(MAKE) --no-print-directory verify-lists DATA="$$REAL_DATA_DIR/repositories.jsonl.gz"); fi
	@$(call step,tests,$(MAKE) --no-print-directory test)

step = start=$$SECONDS; echo "== $(1)"; $(2); echo "== $(1): $$((SECONDS - start)) s"

## deny: licences, sources and duplicates of the crates that are used
.PHONY: deny
deny:
	@command -v cargo-deny >/dev/null || cargo install --locked --quiet cargo-deny --version '$(CARGO_DENY)'
	cargo deny --locked --all-features check licenses sources
	cargo deny --locked --all-features --exclude loadtest check bans

CARGO_DENY := ^0.19

## clean: everything that was built, and ./data
.PHONY: clean
clean:
	cargo clean
	rm -rf data

# What the build needs besides cargo, and what the tests do: program:package. As root they are installed; else the message
# says how.
BUILD_PACKAGES := gcc:gcc
TEST_PACKAGES := $(BUILD_PACKAGES) python3:python3 redis-server:redis-server setpriv:util-linux

.PHONY: prerequisites test-prerequisites
prerequisites: PACKAGES := $(BUILD_PACKAGES)
test-prerequisites: PACKAGES := $(TEST_PACKAGES)
prerequisites test-prerequisites:
	@missing=(); for need in $(PACKAGES); do \
	    command -v "$${need%%:*}" >/dev/null || missing+=("$${need##*:}"); done; \
	if [ $@ = test-prerequisites ] && ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then missing+=(postgresql); fi; \
	if [ $${#missing[@]} -gt 0 ]; then \
	    if [ "$$(id -u)" = 0 ]; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$${missing[@]}"; \
	    else echo "missing: run   sudo apt-get install $${missing[*]}   and try again" >&2; exit 1; fi; fi

.PHONY: help
help:
	@sed -n 's/^## \([a-z-]*\): /  make \1\t/p' Makefile | expand -t 22
