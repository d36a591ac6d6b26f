# The few doors of the project. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := deploy/image/requirements.txt
# Each of them has a local stack of its own, of some 3 GB.
TEST_PROCESSES ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo up down check lint format test unit bench bench-cpu bench-catchup race race-page limits page-pictures dist lock audit random model late bench-idle verify-proof simulate simulate-source scaling poison soak bench-sink snapshot-proof drills mutants

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# The stamp is newer than pyproject.toml exactly when the environment holds what it asks for.
$(VENV)/.made: pyproject.toml
	@echo "==> making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit("cdcd needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/pip install --quiet --editable '.[otel]' --group dev
	@touch $@

demo: ## Everything at once, started, shown and measured; KEEP=1 leaves it running, OBSERVE=1 traces it
	@deploy/local/demo.sh '$(PYTHON)'

up: $(VENV)/.made ## Start the local stack: Kafka, registry, PostgreSQL, ScyllaDB stand-in
	@$(BIN)/python deploy/local/stack.py up

down: ## Stop the local stack and remove its data
	@$(PYTHON) deploy/local/demo.py stop
	@$(PYTHON) deploy/local/stack.py down
	@for folder in $(wildcard .local-*); do $(PYTHON) deploy/local/stack.py down --dir $$folder; done

check: lint unit ## Format, lint, types, layers and the unit tests

lint: $(VENV)/.made
	@$(BIN)/ruff format --check --quiet . || { echo "run: make format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.made ## Let ruff format and mend what it can; make the generated pages
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/python -m cdcd.config.page > docs/CONFIG.md
	@$(BIN)/python -m cdcd.ops.metrics_page > docs/METRICS.md
	@$(BIN)/python -m cdcd.cli.page > docs/CLI.md
	@$(BIN)/python -m cdcd.model.types_page > docs/TYPES.md
	@$(BIN)/python deploy/grafana/dashboards.py

unit: $(VENV)/.made ## The unit tests; they need no service
	@$(BIN)/pytest -q tests/unit

test: $(VENV)/.made ## All tests and coverage, in TEST_PROCESSES with a local stack for each
	@rm -f .coverage .coverage.*
	@tests/needs.sh
	@$(BIN)/pip install --quiet --group servers --group packaging
	@$(BIN)/pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder \
		--cov --cov-report=term

dist: $(VENV)/.made ## Build wheel and source archive into dist/
	@$(BIN)/pip install --quiet --group packaging
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation

# For every platform and Python that cdcd runs on; the image installs from it.
lock: $(VENV)/.made ## Pin what the image installs, by version and hash
	@$(BIN)/pip install --quiet --group pinning
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --extra otel --output-file $(LOCK) pyproject.toml

audit: $(VENV)/.made ## Ask the package index for known flaws of what the image installs
	@$(BIN)/pip install --quiet --group pinning
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes --requirement $(LOCK)

page-pictures: $(VENV)/.made ## Make the pictures of the status page in docs/ anew
	@CDCD_PAGE_PICTURES=docs $(BIN)/pytest -q tests/integration/test_status_page.py

bench-cpu: $(VENV)/.made ## CPU time of each step that a change goes through; needs no server
	@$(BIN)/python -m tests.bench.cpu

bench-catchup: $(VENV)/.made ## A backlog caught up with: rate, CPU and memory; CDCD_BENCH_CHANGES
	@$(BIN)/python -m tests.bench.catchup

race: $(VENV)/.made ## cdcd against what it replaces, in .local/race.json; CDCD_RACE_CHANGES, _ROUNDS
	@$(BIN)/python -m tests.bench.race

race-page: $(VENV)/.made ## Make docs/RACE.md of what the race found
	@$(BIN)/python -m tests.bench.race_page

scaling: $(VENV)/.made ## How the cost of a change grows, one thing at a time; a quarter of an hour
	@$(BIN)/python -m tests.bench.scaling

limits: $(VENV)/.made ## What driver, librdkafka and PostgreSQL do alone; CDCD_BENCH_CHANGES
	@$(BIN)/python -m tests.bench.limits

snapshot-proof: $(VENV)/.made ## Copy 200,000 rows under 1,000 changes/s with three kills; minutes
	@CDCD_SNAPSHOT_ROWS=$${CDCD_SNAPSHOT_ROWS:-200000} \
	CDCD_SNAPSHOT_RATE=$${CDCD_SNAPSHOT_RATE:-1000} \
	$(BIN)/pytest -q -s tests/scenario/test_snapshot.py -k kills

bench: $(VENV)/.made ## Latency at a steady 2,000 changes/s, speed of the sink, of a copy and of verifying
	@$(BIN)/python -m tests.bench.latency
	@$(BIN)/python -m tests.bench.snapshot
	@$(BIN)/python -m tests.bench.sink 20000
	@$(BIN)/python -m tests.bench.verify

bench-sink: $(VENV)/.made ## Rows of 8 columns into PostgreSQL beside two limits, printed
	@$(BIN)/python -m tests.bench.sink

verify-proof: $(VENV)/.made ## 500 damaged rows, and 20 verifications under 1,000 changes/s; takes long
	@CDCD_DAMAGED_ROWS=500 CDCD_VERIFY_RUNS=20 CDCD_CHANGES_PER_SECOND=1000 \
		$(BIN)/pytest -q tests/scenario/test_reconcile.py tests/scenario/test_verification.py

random: $(VENV)/.made ## Writes by chance and two witnesses; CDCD_RANDOM_WRITES, _RUNS, _KILLS, _SEED
	@CDCD_RANDOM_WRITES=$${CDCD_RANDOM_WRITES:-15000} CDCD_RANDOM_RUNS=$${CDCD_RANDOM_RUNS:-4} \
	 CDCD_RANDOM_KILLS=$${CDCD_RANDOM_KILLS:-4} $(BIN)/pytest -q -s tests/scenario/test_random.py

soak: $(VENV)/.made ## An hour of steady load: memory, files, connections; CDCD_SOAK_SECONDS
	@CDCD_SOAK_SECONDS=$${CDCD_SOAK_SECONDS:-3600} $(BIN)/pytest -q -s tests/scenario/test_soak.py

model: $(VENV)/.made ## The model in bigger configurations; takes an hour
	@CDCD_TEST_MODEL=big $(BIN)/pytest -q tests/model

late: $(VENV)/.made ## Writes that are backdated by up to five minutes; takes eleven
	@CDCD_LATE_BACK_SECONDS=1,20,300 $(BIN)/pytest -q tests/scenario/test_late.py

bench-idle: $(VENV)/.made ## What 100 idle tables on 768 streams cost, and p95 of one busy partition
	@$(BIN)/python -m tests.bench.idle

simulate: $(VENV)/.made ## More seeds of the sink's simulation: SEEDS=10000
	@CDCD_TEST_SEEDS=$(or $(SEEDS),10000) $(BIN)/pytest -q tests/simulation/test_sink_model.py

simulate-source: $(VENV)/.made ## More seeds of the source's simulation: SEEDS=100
	@CDCD_TEST_SOURCE_SEEDS=$(or $(SEEDS),100) $(BIN)/pytest -q tests/simulation/test_source_model.py

poison: $(VENV)/.made ## 1,000 changes that PostgreSQL refuses among 100,000 good ones, and their replay
	@CDCD_POISON_ROWS=101000 CDCD_POISON_EVERY=101 $(BIN)/pytest -q --timeout 1800 --durations 1 \
		tests/integration/test_dead_letters.py -k test_poison_among_good_rows

drills: $(VENV)/.made ## Every drill on the local stack, 200 kills among them: .local/drills.json; takes an hour
	@$(BIN)/pip install --quiet --group servers
	@$(BIN)/python -m tests.drills $(KINDS)

mutants: $(VENV)/.made ## Change the pure modules place by place: do their tests see it? Takes long
	@$(BIN)/pip install --quiet --group mutants
	@$(BIN)/python -m tests.mutants
