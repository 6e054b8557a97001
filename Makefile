# Each target sets up what it needs by itself: a Python 3.11-3.13 and make are all it asks for.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
FAULTS ?= 1000
SHAPE ?= both
# Most tests wait for a car, a broker or a deadline, so that two cores carry three of them; a file stays together.
WORKERS ?= -n 3 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help environment browser demo test run-tests ingest-page faults security bench-wire bench-ingest bench-storage bench-edge bench-health health-page check-alerts check-arm64 lint types format clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

environment: ## make the virtual environment (.venv) with all dependencies
	@$(PYTHON) wearcast/embedded/bootstrap.py

demo: environment ## watch cars being read, alerts raised and workshops booked (ARGS="--once" ends by itself)
	@$(BIN)/wearcast demo run $(ARGS)

# Types take a core for a while in which the tests' first processes only start.
test: lint browser ## run every check: lint, format, types, import contracts, all tests
	@$(BIN)/python -m wearcast.embedded
	@$(MAKE) --no-print-directory -j 2 types run-tests

run-tests: environment
	$(BIN)/pytest $(WORKERS) $(ARGS)

faults: environment ## inject faults of every kind into running processes; count every batch, alert and message (FAULTS=1000 SEED=1 SHAPE=node|cluster|both)
	@$(BIN)/python -m wearcast.embedded
	$(BIN)/python -m tests.faults.run --faults $(FAULTS) --shape $(SHAPE) $(if $(SEED),--seed $(SEED)) $(ARGS)

security: environment ## attack both brokers with real clients and certificates: each attack, its answer, and whether it held
	@$(BIN)/python -m wearcast.embedded
	$(BIN)/python -m tests.security.report $(ARGS)

faults-page: environment ## put the figures of make faults and make bench-herd onto docs/no-loss.md
	$(BIN)/python -m tests.faults.page

bench-herd: environment ## a fleet after an outage of the whole backend: who comes when, and what is stored first
	@$(BIN)/python -m wearcast.embedded
	$(BIN)/python -m tests.faults.bench_herd

bench-wire: environment ## bytes per value of the compact form against JSON, over the recorded trips
	$(BIN)/python -m tests.benchmarks.bench_wire

bench-ingest: environment ## samples per second into the database: bare COPY, the writer, and all through the broker
	@$(BIN)/python -m wearcast.embedded
	$(BIN)/python -m tests.benchmarks.bench_ingest

ingest-page: environment ## put the figures of make bench-ingest and make bench-scale onto their pages in docs/
	$(BIN)/python -m tests.benchmarks.ingest.page

bench-storage: environment ## bytes per value on disk, and queries' times and plans as data grows a hundredfold
	@$(BIN)/python -m wearcast.embedded
	$(BIN)/python -m tests.benchmarks.bench_storage

bench-scale: environment ## workers that share a NATS consumer: 1, 2 and 4 of them, on one node and on three
	@$(BIN)/python -m wearcast.embedded
	$(BIN)/python -m tests.benchmarks.bench_scale

bench-edge: environment ## the dongle's figures: bytes on the air and on the flash, memory, start, bus, queries (ARGS="bytes outbox")
	$(BIN)/python -m tests.benchmarks.bench_edge $(ARGS)

bench-health: environment ## how good the estimates and forecasts are, on recordings and simulations (ARGS="oil pads")
	$(BIN)/python -m tests.benchmarks.bench_health $(ARGS)

health-page: environment ## measure all estimates and put tables and plots onto docs/health.md
	WEARCAST_BENCH_PLOTS=docs/health $(BIN)/python -m tests.benchmarks.bench_health
	$(BIN)/python -m tests.benchmarks.health.page

check-alerts: environment ## check the alert rules with Prometheus' own tool (fetches it)
	$(BIN)/python -m tests.benchmarks.check_alerts

check-arm64: environment ## whether a Raspberry Pi installs the agent without a compiler (asks the package index)
	$(BIN)/python -m tests.benchmarks.check_arm64

lint: environment ## check style, format and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: environment ## check the types, strictly
	$(BIN)/mypy

format: environment ## put the code into the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The browser tests drive the distribution's Chromium through playwright, whose driver needs libatomic1; the font has
# Chinese characters. Only root can install them; anyone else's tests say that they are skipped.
BROWSER_PACKAGES := chromium fonts-wqy-zenhei libatomic1
browser: environment
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! dpkg -s $(BROWSER_PACKAGES) >/dev/null 2>&1; then \
		echo "Installing for the browser tests: $(BROWSER_PACKAGES)"; \
		apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $(BROWSER_PACKAGES); \
	fi

clean: ## remove everything that was made here (not the cached database binaries)
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
