# Overread. `make` alone lists the commands.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= build/demo

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types bench-arithmetic parts bench-labels bench-depth clean

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

demo: install ## From an empty house to a promoted model on phantoms; DATA=folder, WEIGHTS=file, STRATEGY=name.
	$(BIN)/python -m overread.simulation.demo --out $(OUT) $(if $(DATA),--data $(DATA)) $(if $(WEIGHTS),--weights $(WEIGHTS)) $(if $(STRATEGY),--strategy "$(STRATEGY)") $(ARGS)

test: install ## Run all tests; ARGS="-k bus" passes on to pytest.
	$(BIN)/python -m pytest $(ARGS)

lint: install ## Style, and who may import whom.
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: install ## mypy, strict, over both packages.
	$(BIN)/mypy

bench-arithmetic: install ## AIFT's arithmetic over a million candidates against the papers' way; ARGS="--candidates 50000".
	$(BIN)/python -m overread_learn.bench.arithmetic $(ARGS)

parts: ## Install the real parts that some tests need: dcmtk and Chromium (Debian, as root).
	@if command -v storescu >/dev/null && command -v chromium >/dev/null; then echo "dcmtk and chromium are here"; \
	elif ! command -v apt-get >/dev/null; then echo "no apt-get here; install dcmtk and chromium by your system's own means"; \
	elif [ "$$(id -u)" != 0 ]; then echo "apt-get wants root; run: sudo apt-get install dcmtk chromium"; \
	else apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends dcmtk chromium; fi

bench-labels: install ## Compare strategies on the reference data (hours; goes on where it was): SHARED=folder.
	$(BIN)/python -m overread_learn.bench.labels --shared $(SHARED) $(ARGS)

bench-depth: install ## Every depth over shares of the labels, on the reference data (hours; goes on where it was): SHARED=folder.
	$(BIN)/python -m overread_learn.bench.depth --shared $(SHARED) $(ARGS)

clean: ## Remove what the other commands made, .venv included.
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
