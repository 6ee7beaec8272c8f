# Overread. `make` alone lists the commands.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= build/demo

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types bench-arithmetic bench-bus faults soak parts kafka bench-labels bench-depth postgres clean

help: ## List the commands.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'

install: $(STAMP) ## Make .venv with everything; again only when pyproject.toml changed.

# pip reads dependency groups from 25.1 on.
$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not here; name a Python of 3.11 or later: make install PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11; name a later one: make install PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group test --group lint --editable '.[train]'
	@touch $@

demo: install ## From an empty house to a promoted model on phantoms; DATA=folder, WEIGHTS=file, STRATEGY=name, BUS=kafka, STORE=postgresql.
	$(BIN)/python -m overread.simulation.demo --out $(OUT) $(if $(DATA),--data $(DATA)) $(if $(WEIGHTS),--weights $(WEIGHTS)) $(if $(STRATEGY),--strategy "$(STRATEGY)") $(if $(BUS),--bus $(BUS)) $(if $(STORE),--store $(STORE)) $(ARGS)

test: install ## Run all tests; ARGS="-k bus" passes on to pytest.
	$(BIN)/python -m pytest $(ARGS)

lint: install ## Style, and who may import whom.
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: install ## mypy, strict, over both packages.
	$(BIN)/mypy

bench-arithmetic: install ## AIFT's arithmetic over a million candidates against the papers' way; ARGS="--candidates 50000".
	$(BIN)/python -m overread_learn.bench.arithmetic $(ARGS)

bench-bus: install ## Produce, relay, consume, end to end, against kafka-python's bare client on the same broker; ARGS="--rounds 7".
	$(BIN)/python -m overread.simulation.bench_bus $(ARGS)

faults: install ## Make brokers, rooms, disks and clocks fail while corrections pass; QUICK=1, ARGS="--only poison", ARGS=--list.
	$(BIN)/python -m overread.simulation.faults $(if $(QUICK),--quick) $(ARGS)

soak: install ## So many events with random kills, then the proof that none was lost or doubled; N=1000000 takes hours.
	$(BIN)/python -m overread.simulation.soak $(if $(N),--events $(N)) $(ARGS)

# Each as Debian's package:a command that it brings.
PARTS := dcmtk:storescu chromium:chromium default-jre-headless:java maven:mvn postgresql:pg_ctlcluster npm:npm

parts: ## Install the real parts that some tests need: dcmtk, Chromium, Java, Maven, PostgreSQL, npm (Debian, as root).
	@missing=$$(for part in $(PARTS); do command -v "$${part#*:}" >/dev/null || printf ' %s' "$${part%%:*}"; done); \
	if [ -z "$$missing" ]; then echo "here already:$(foreach part,$(PARTS), $(firstword $(subst :, ,$(part))))"; \
	elif ! command -v apt-get >/dev/null; then echo "no apt-get here; install by your system's own means:$$missing"; exit 1; \
	elif [ "$$(id -u)" != 0 ]; then echo "apt-get wants root; run: sudo apt-get install$$missing"; exit 1; \
	else apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; fi

kafka: install ## A real Kafka broker in the foreground, to try; ARGS="--nodes 3", ARGS=--help.
	@$(BIN)/python -m overread.simulation.broker $(ARGS)

postgres: install ## Start PostgreSQL on 127.0.0.1 until Ctrl-C, to try; ARGS="--port 5434 --data folder".
	$(BIN)/python -m overread.simulation.postgres $(ARGS)

bench-labels: install ## Compare strategies on the reference data (hours; goes on where it was): SHARED=folder.
	$(BIN)/python -m overread_learn.bench.labels --shared $(SHARED) $(ARGS)

bench-depth: install ## Every depth over shares of the labels, on the reference data (hours; goes on where it was): SHARED=folder.
	$(BIN)/python -m overread_learn.bench.depth --shared $(SHARED) $(ARGS)

clean: ## Remove what the other commands made, .venv included.
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
