# `make` without a target lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Debian has nginx and varnishd here, and an ordinary user's PATH does not.
export PATH := $(PATH):/usr/sbin

# The commit, which the programs name in their metrics. Other targets build without it: after each
# commit they would compile the service again.
run demo pictures stack stack-demo: export REVISION := \
    $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)

STUB := http://127.0.0.1:8090
SERVED := http://127.0.0.1:8081

## run: the service in one process on http://127.0.0.1:8081, over the real GitHub
.PHONY: run
run: | prerequisites
	cargo build --release --locked -p api
	@echo
	@echo "Serving on $(SERVED) - the first fetch from GitHub takes 30 to 90 seconds:"
	@echo "  curl $(SERVED)/api/popularity/kubernetes    (a 503 says how far it is)"
	@echo "  curl $(SERVED)/refreshes"
	@echo
	exec target/release/api

# The stand-in's world, which docker-compose.yml serves too.
DEMO_WORLD := --generate 2000 --seed 7 --history 90 --topic kubernetes --topic mcp

## demo: the same over a stand-in for GitHub with 90 days of a past: no network, no token
.PHONY: demo
demo: | prerequisites
	cargo build --release --locked -p api -p github-stub
	@data=$$(mktemp -d); stub=; \
	trap 'kill $$stub 2>/dev/null; rm -rf "$$data"' EXIT; \
	export DATABASE_URL= DATABASE_URL_FILE= REDIS_URL= REDIS_URL_FILE= \
	    GITHUB_API_URL=$(STUB) DATA_DIR=$$data; \
	target/release/github-stub $(DEMO_WORLD) --archive "$$data/past"; \
	target/release/api import "$$data/past"; \
	target/release/github-stub $(DEMO_WORLD) & stub=$$!; \
	while kill -0 $$stub && ! (exec 3<>/dev/tcp/127.0.0.1/8090) 2>/dev/null; do sleep 0.1; done; \
	echo; echo "Serving on $(SERVED):  curl $(SERVED)/api/popularity/kubernetes"; echo; \
	target/release/api

# Serves the demo's past until the recipe ends.
define serve-past
data=$$(mktemp -d); api=; \
trap 'kill $$api 2>/dev/null; rm -rf "$$data"' EXIT; \
export DATABASE_URL= DATABASE_URL_FILE= REDIS_URL= REDIS_URL_FILE= DATA_DIR=$$data; \
target/release/github-stub $(DEMO_WORLD) --archive "$$data/past"; \
target/release/api import "$$data/past"; \
SCHEDULER=external target/release/api & api=$$!; \
until curl -fsS $(SERVED)/health >/dev/null 2>&1; do sleep 0.1; done
endef

## pictures: makes the README's pictures from the demo's past: docs/topic.png, docs/chart.svg
.PHONY: pictures
pictures: | test-prerequisites
	cargo build --release --locked -p api -p github-stub
	@$(serve-past); \
	chromium --headless $$([ "$$(id -u)" != 0 ] || echo --no-sandbox) --disable-gpu \
	    --hide-scrollbars --no-first-run --disable-background-networking \
	    --user-data-dir="$$data/chromium" --window-size=1170,600 \
	    --screenshot=docs/topic.png "$(SERVED)/t/kubernetes" 2>/dev/null; \
	names() { curl -fsS "$(SERVED)/api/$$1" | jq -r ".[:$$2][].full_name"; }; \
	repos=$$( (names 'trending/kubernetes?window=90d&by=velocity' 2; \
	    names 'falling/kubernetes?window=30d' 1) | paste -sd,); \
	curl -fsS "$(SERVED)/charts/compare.svg?range=90d&width=760&height=300&repos=$$repos" \
	    -o docs/chart.svg; \
	ls -l docs/topic.png docs/chart.svg

## test: every test, a sample of the faults, and the alerts; installs what is missing through apt
.PHONY: test
test: | test-prerequisites
	tests/with-servers cargo test --workspace --locked --no-fail-fast
	python3 tests/faults.py --sample
	python3 tests/monitoring.py
	python3 tests/alerts.py

## stack: the six containers over the real GitHub, on http://127.0.0.1:8081
.PHONY: stack
stack: | engine
	docker compose up -d --wait --build
	@$(call stack-told,docker compose)

## stack-demo: the same over a stand-in for GitHub: no token, and nothing leaves this machine
.PHONY: stack-demo
stack-demo: | engine
	$(DEMO) run --rm --build --no-deps --user root -v $(PAST):/past github-stub \
	    $(DEMO_WORLD) --archive /past
	$(DEMO) run --rm --build -v $(PAST):/past:ro api-a import /past
	docker volume rm $(PAST)
	NO_PROXY=github-stub GITHUB_API_URL=http://github-stub:8090 $(DEMO) up -d --wait --build
	@$(call stack-told,$(DEMO))

# The demo is a project of its own, so that a real stack's database gets no invented repositories.
DEMO := docker compose -p github-topic-mirror-demo --profile demo
PAST := github-topic-mirror-demo-past

# The sed puts an IPv6 address into brackets, as URLs want it.
define stack-told
at=$$($(1) port proxy 8081 | sed -E 's/^([^[].*:.*):/[\1]:/'); \
echo; echo "Serving on http://$$at:  curl http://$$at/api/popularity/kubernetes"; \
echo "It ends with  $(1) down  (add -v to forget the data)"
endef

## dist: makes what a release holds, for x86_64 and aarch64, in target/artifacts (IMAGE_PREFIX=)
.PHONY: dist
dist: | dist-prerequisites
	@command -v cargo-cyclonedx >/dev/null || \
	    cargo install --locked --quiet cargo-cyclonedx --version '$(CARGO_CYCLONEDX)'
	IMAGE_PREFIX="$(IMAGE_PREFIX)" deploy/release/dist.sh

CARGO_CYCLONEDX := ^0.5

## dist-test: starts what `make dist` made, in a bare Debian container and under QEMU
.PHONY: dist-test
dist-test: | dist-prerequisites engine
	cargo build --locked -p github-stub
	python3 tests/dist.py --github-stub target/debug/github-stub

## load: a minute of checked load on a running service (LOAD_HOST, TOPIC); writes target/load.html
.PHONY: load
load: | prerequisites
	cargo build --release --locked -p loadtest
	target/release/loadtest --report-file target/load.html

## mutants: takes out each rule of a refresh in turn and expects tests to fail; half an hour
.PHONY: mutants
mutants: | test-prerequisites
	python3 tests/mutants.py

## fuzz: random inputs for every parser of requests, of GitHub's answers and of archives (CASES=1000000)
.PHONY: fuzz
fuzz: | prerequisites
	PROPTEST_CASES=$(or $(CASES),1000000) cargo test --locked --release -p api --lib \
	    --config profile.release.package.api.overflow-checks=true \
	    --config profile.release.package.api.debug-assertions=true properties::

## bench: the cost of reads and of a refresh, for docs/performance.md; QUICK=1 for a look
.PHONY: bench
bench: | bench-prerequisites
	cargo build --locked --profile dist -p api -p github-stub
	cargo bench --locked --quiet --profile dist -p api --bench refresh --bench catalogue --bench history --no-run
	python3 loadtest/bench/bench.py $(if $(QUICK),--quick)

## faults: breaks the parts, alone and in pairs, under load; a quarter of an hour; ONLY=Redis
.PHONY: faults
faults: | test-prerequisites
	cargo build --locked --profile dist -p api -p github-stub
	python3 tests/faults.py $(if $(ONLY),--only "$(ONLY)")

## alerts: checks the alert rules and the dashboard, and causes each alert; a minute and a half
.PHONY: alerts
alerts: | test-prerequisites
	python3 tests/monitoring.py
	cargo build --locked -p api -p github-stub
	python3 tests/alerts.py

## overload: ten times the capacity, and floods of connections; six minutes; ONLY=replica
.PHONY: overload
overload: | bench-prerequisites
	cargo build --locked --profile dist -p api -p github-stub
	python3 tests/overload.py $(if $(ONLY),--only "$(ONLY)")

## simulation: a week of 1,000 topics on one token, for docs/scale.md; about an hour
.PHONY: simulation
simulation: | prerequisites
	cargo test --locked --release -p api --test it -- --ignored --nocapture simulation::week

## soak: looks for growth under a moderate load with many refreshes (MINUTES=60)
.PHONY: soak
soak: | bench-prerequisites
	cargo build --locked --profile dist -p api -p github-stub
	python3 tests/soak.py --minutes $(or $(MINUTES),60)

## e2e: starts the stack, checks it through the proxy, kills replicas under load (ROUNDS=3)
.PHONY: e2e
e2e: | engine
	python3 tests/e2e.py --rounds $(or $(ROUNDS),3)

## e2e-chaos: only the load, with replicas killed and recreated (ROUNDS=20)
.PHONY: e2e-chaos
e2e-chaos: | engine
	python3 tests/e2e.py --chaos --rounds $(or $(ROUNDS),20)

## readme: runs the README's code blocks on a clean clone
.PHONY: readme
readme: | test-prerequisites engine
	python3 tests/readme.py

## chart: renders, lints and checks the Helm chart, in a container; ACCEPT=1 writes the snapshots
.PHONY: chart
chart: | engine
	docker build --quiet --tag github-topic-mirror-helm tests/helm >/dev/null
	docker run --rm --network none --user "$$(id -u):$$(id -g)" \
	    --volume "$$PWD:/src$(if $(ACCEPT),,:ro)" github-topic-mirror-helm /src/tests/helm/check.py \
	    $(if $(ACCEPT),--accept)

## workflows: checks .github/workflows with actionlint, in a container
.PHONY: workflows
workflows: | engine
	docker build --quiet --tag github-topic-mirror-workflows tests/workflows >/dev/null
	docker run --rm --network none --volume "$$PWD:/src:ro" --workdir /src \
	    github-topic-mirror-workflows $(wildcard .github/workflows/*.yml)

.PHONY: engine
engine:
	@docker compose version >/dev/null || { \
	    echo "Docker with its compose plug-in is needed: https://docs.docker.com/engine/install" >&2; \
	    exit 1; }
	@docker info >/dev/null || { \
	    echo "Docker's engine does not answer: start it, or join its group" >&2; exit 1; }

## verify-lists: compares the lists with a script's own sort of DATA=repositories.jsonl.gz
.PHONY: verify-lists
verify-lists: | test-prerequisites
	cargo build --locked -p api -p github-stub
	python3 tests/verify-lists.py --data "$(or $(DATA),$(error $(NO_DATA)))" \
	    --api target/debug/api --github-stub target/debug/github-stub

NO_DATA := set DATA to a file of search items, one JSON object a line

## style: lengths, comments, imports between the files of the service, and the table of rules
.PHONY: style
style:
	@failed=; \
	for check in style.py structure_test.py structure.py api_diff_test.py faults_test.py overload_test.py \
	    release_test.py "mutants.py --check"; do \
	    python3 tests/$$check || failed+=" tests/$$check"; done; \
	if [ -n "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi

## api-diff: compares the API with the last release's, docs/openapi.json: a breaking change fails
.PHONY: api-diff
api-diff: | test-prerequisites
	cargo build --locked -p api
	python3 tests/api_diff.py --api target/debug/api

## api-release: writes the present API to docs/openapi.json, for a release
.PHONY: api-release
api-release: | test-prerequisites
	cargo build --locked -p api
	python3 tests/api_diff.py --api target/debug/api --accept

## ci: style, format, lints, licences, docs, every test, the chart and the stack, with the time of each step
.PHONY: ci
ci: | test-prerequisites
	@$(call step,style,$(MAKE) --no-print-directory style)
	@$(call step,format,cargo fmt --all --check)
	@$(call step,clippy,cargo clippy --workspace --all-targets --locked -- -D warnings)
	@$(call step,cargo deny,$(MAKE) --no-print-directory deny)
	@$(call step,docs,RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet)
	@if [ -n "$${REAL_DATA_DIR:-}" ]; then \
	    $(call step,lists,$(MAKE) --no-print-directory verify-lists DATA="$(RECORDED)"); fi
	@$(call step,tests,$(MAKE) --no-print-directory test)
	@$(call step,api-diff,$(MAKE) --no-print-directory api-diff)
	@if docker info >/dev/null 2>&1; then \
	    $(call step,chart,$(MAKE) --no-print-directory chart); \
	    $(call step,workflows,$(MAKE) --no-print-directory workflows); \
	    $(call step,e2e,$(MAKE) --no-print-directory e2e); \
	else echo "== chart, workflows, e2e: NOT RUN, neither the Helm chart nor the containers are" \
	    "tested: no Docker engine answers here"; fi

RECORDED = $$REAL_DATA_DIR/repositories.jsonl.gz

step = start=$$SECONDS; echo "== $(1)"; $(2); echo "== $(1): $$((SECONDS - start)) s"

## deny: licences, sources, bans and, if their database can be had, advisories of all crates
.PHONY: deny
deny:
	@command -v cargo-deny >/dev/null || \
	    cargo install --locked --quiet cargo-deny --version '$(CARGO_DENY)'
	cargo deny --locked --all-features check licenses sources
	cargo deny --locked --all-features --exclude loadtest check bans
	@if GIT_TERMINAL_PROMPT=0 timeout 30 git ls-remote --quiet $(ADVISORIES) HEAD >/dev/null 2>&1; \
	then cargo deny --locked --all-features check advisories; \
	else echo "== advisories: NOT CHECKED, their database $(ADVISORIES) is out of reach"; fi

ADVISORIES := https://github.com/rustsec/advisory-db

CARGO_DENY := ^0.19

## clean: removes all that was built; ./data stays, since nobody can fetch its star history again
.PHONY: clean
clean:
	cargo clean

# The programs that the build, the tests and the benchmark need besides cargo, as
# program:package[,package…]. root installs what is missing; for others a message says how.
# Recommended packages stay out, since PostgreSQL's bring a mail server. Two of them are needed and
# named here: gcc links against libc6-dev, and cargo and git trust the certificates.
BUILD_PACKAGES := gcc:gcc,libc6-dev
TEST_PACKAGES := $(BUILD_PACKAGES) curl:curl,ca-certificates git:git,ca-certificates jq:jq \
    python3:python3 nginx:nginx redis-server:redis-server setpriv:util-linux \
    pgbouncer:pgbouncer sqlite3:sqlite3 pip3:python3-pip \
    chromium:chromium,fonts-dejavu-core chromedriver:chromium-driver java:default-jre-headless \
    w3m:w3m prometheus:prometheus varnishd:varnish openssl:openssl strace:strace \
    prometheus-node-exporter:prometheus-node-exporter unshare:util-linux
BENCH_PACKAGES := $(BUILD_PACKAGES) python3:python3 nginx:nginx redis-server:redis-server \
    setpriv:util-linux wrk:wrk ab:apache2-utils varnishd:varnish
# Both gcc have the name of their processor, and link against the C library that Rust brings.
DIST_PACKAGES := gcc:gcc,libc6-dev x86_64-linux-gnu-gcc:gcc-x86-64-linux-gnu \
    aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu git:git,ca-certificates python3:python3 \
    qemu-aarch64:qemu-user
APT_INSTALL := apt-get install --no-install-recommends

.PHONY: prerequisites test-prerequisites bench-prerequisites dist-prerequisites
prerequisites: PACKAGES := $(BUILD_PACKAGES)
test-prerequisites: PACKAGES := $(TEST_PACKAGES)
bench-prerequisites: PACKAGES := $(BENCH_PACKAGES)
dist-prerequisites: PACKAGES := $(DIST_PACKAGES)
prerequisites test-prerequisites bench-prerequisites dist-prerequisites:
	@missing=(); for need in $(PACKAGES); do \
	    if ! command -v "$${need%%:*}" >/dev/null; then \
	        IFS=, read -ra packages <<<"$${need##*:}"; missing+=("$${packages[@]}"); fi; done; \
	if [[ $@ = test-* || $@ = bench-* ]] && ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then \
	    missing+=(postgresql); fi; \
	if [ $${#missing[@]} -gt 0 ]; then \
	    if [ "$$(id -u)" = 0 ]; then \
	        apt-get update -qq; \
	        DEBIAN_FRONTEND=noninteractive $(APT_INSTALL) -y -qq "$${missing[@]}"; \
	    else \
	        echo "missing: run   sudo $(APT_INSTALL) $${missing[*]}   and try again" >&2; exit 1; \
	    fi; fi

.PHONY: help
help:
	@sed -n 's/^## \([a-z0-9-]*\): /  make \1\t/p' Makefile | expand -t 22
