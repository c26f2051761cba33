# perflab: two commands matter, `make report` and `make test`. Both make .venv and install what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROFILE ?= quick
ENGINE ?= sqlite
# Tests wait for a third of their time: one process more than there are cores keeps these busy.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')

.PHONY: test-prometheus help report notebook test lint types imports unit slow explore browser pgbouncer notebooks bench crossovers tune-proof sweep reference figures gallery tables docs format clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

report: $(VENV)/.$(if $(filter postgresql,$(ENGINE)),postgres,lab) ## measure on this machine, write an HTML report; ENGINE=postgresql for that engine
	@$(BIN)/perflab report 02 --profile $(PROFILE) --engine $(ENGINE)

notebook: $(VENV)/.lab ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

test: lint types imports unit notebooks docs ## everything that CI runs

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

# A file's tests stay together: what it has set up once serves all of them.
unit: $(VENV)/.dev pgbouncer browser
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

slow: $(VENV)/.dev ## the tests that measure for long
	$(BIN)/python -m pytest -n auto --dist loadfile -m slow

# `make test` tries each property with the same examples everywhere. What this finds becomes an @example.
explore: $(VENV)/.dev ## the properties with random examples, other ones each time
	$(BIN)/python -m pytest -n auto --dist loadfile -m hypothesis --hypothesis-profile explore

.PHONY: soak-models simulate

simulate: $(VENV)/.dev ## hours of workers, schedulers, kills and jumping clocks in a minute; SEED=1 HOURS=2 to repeat one
	$(BIN)/python -m tests.simulation "$(SEED)" $(HOURS)

soak-models: $(VENV)/.dev ## the state machines of queue and scheduler 2,000 times on each engine, other runs each time
	$(BIN)/python -m pytest --timeout 7200 --hypothesis-profile soak tests/queue/test_queue_model.py \
		tests/scheduler/test_scheduler_model.py

# The tests run one of their own; the package's service is not to start. In CI its tests fail where it is missing.
pgbouncer:
	@PATH="$$PATH:/usr/sbin"; command -v pgbouncer >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
				apt-get install -qq --no-install-recommends pgbouncer >/dev/null; \
		else echo "pgbouncer is not installed, so its tests are skipped: install it with your package manager"; fi; }

# Tests look at the dashboard in it. In CI they fail where it is missing.
browser:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
				apt-get install -qq --no-install-recommends chromium chromium-driver >/dev/null; \
		else echo "chromium is not installed, so its tests are skipped: install it with your package manager"; fi; }

.PHONY: minimal pythons

PYTHONS ?= python3.11 python3.12 python3.13

minimal: ## install a wheel of the core alone into a new environment, and use it; PYTHON=python3.13 for another one
	rm -rf .venv-minimal && $(PYTHON) -m venv .venv-minimal
	.venv-minimal/bin/python -m pip install --quiet --quiet .
	cd / && "$(CURDIR)/.venv-minimal/bin/python" -W error "$(CURDIR)/tests/packaging/core_only.py"
	rm -rf .venv-minimal

pythons: ## the core alone, then all tests, with each Python of PYTHONS that is there
	@for python in $(PYTHONS); do \
		if $$python -c '' 2>/dev/null; then \
			$(MAKE) minimal PYTHON=$$python && $(MAKE) unit PYTHON=$$python VENV=.venv-$$python || exit 1; \
		else echo "$$python is not here, so it was not tried"; fi; done

.PHONY: faults fault-table

faults: $(VENV)/.dev ## the fault tests that take long
	$(BIN)/python -m pytest -m faults

fault-table: $(VENV)/.dev ## run all fault tests, and write the table in tests/README.md
	$(BIN)/python -m tests.faults.table

.PHONY: recovery soak ten-million

# A minute for each visit: all disturbances in turn. It needs root for a small disk, and pgbouncer.
recovery: $(VENV)/.dev pgbouncer ## how soon work goes on after a server was disturbed, into reports/recovery.md
	$(BIN)/python -m tests.faults.recovery

soak: $(VENV)/.dev ## DURATION=1800 seconds at four fifths of capacity: memory, files, p99 flat, nothing lost; ENGINE=postgresql
	$(BIN)/python -m tests.faults.soak $(ENGINE) $(or $(DURATION),1800)

ten-million: $(VENV)/.dev ## JOBS=10000000 through one queue of each engine, each handled once
	for engine in sqlite postgresql; do $(BIN)/python -m tests.faults.many_jobs $$engine $(or $(JOBS),10000000) || exit 1; done

.PHONY: audit

# In an environment of its own: what it needs is not what perflab needs.
audit: $(VENV)/.dev ## ask a public database of vulnerabilities about every package in .venv
	$(BIN)/python -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet --quiet pip-audit
	$(BIN)/python -m pip freeze --exclude-editable > $(VENV)/audit/installed.txt
	$(VENV)/audit/bin/pip-audit --disable-pip --no-deps --requirement $(VENV)/audit/installed.txt

# The package's service is not to start, and the tests run one of their own.
test-prometheus: $(VENV)/.dev ## a real Prometheus scrapes `perflab metrics`
	@command -v prometheus >/dev/null || { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
		apt-get install -qq --no-install-recommends prometheus >/dev/null; }
	$(BIN)/python -m pytest -m prometheus tests/monitoring

# nbval runs each notebook as its reader would, from its own folder, at the smallest profile; two at a time, each whole.
notebooks: $(VENV)/.dev
	PERFLAB_PROFILE=smoke $(BIN)/python -m pytest -n 2 --dist loadscope --nbval-lax --nbval-current-env notebooks

docs: $(VENV)/.dev ## the documentation, into site/index.html; any warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.lab ## our operations against the raw drivers of both engines, into reports/bench.md
	$(BIN)/perflab bench --engine both

crossovers: $(VENV)/.lab ## which bulk form is the cheapest for how many rows, into reports/crossovers.md
	$(BIN)/python -m perflab.lab.bench.crossovers

tune-proof: $(VENV)/.lab ## whether a tenth of the full grid's time finds as good a setting, into reports/tune_proof.md
	$(BIN)/python -m perflab.lab.tune.proof

sweep: $(VENV)/.lab ## the sweep without the notebook
	$(BIN)/perflab sweep --profile $(PROFILE)

# Where nothing else runs: the report takes two minutes; bench and peers go on to what their `--help` says.
reference: $(VENV)/.dev ## the committed reference: report 02 at quick, bench and peers on both engines, the README's tables
	find reports/reference -mindepth 1 -delete
	$(BIN)/perflab report 02 --profile quick --output reports/reference
	-$(BIN)/perflab bench enqueue claim done watches states load --engine both --blocks 8 --output reports/reference
	-$(BIN)/perflab peers --engine both --output reports/reference  # the tables say what is over a limit, or was missed
	rm -f reports/reference/*.ipynb reports/reference/*.duckdb reports/reference/*.progress.json
	$(MAKE) tables

figures: $(VENV)/.dev ## the figures of the documentation's concept pages
	$(BIN)/python -m docs.figures

gallery: $(VENV)/.dev ## run all notebooks at smoke, and make the gallery's thumbnails of them
	for notebook in notebooks/*.ipynb; do \
		$(BIN)/perflab report $$notebook --profile smoke --output reports/gallery || exit 1; done
	$(BIN)/python -m docs.gallery reports/gallery

tables: $(VENV)/.dev ## the tables of the README, from reports/reference
	$(BIN)/python -m docs.readme_tables

format: $(VENV)/.dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean: ## remove .venv and what runs have written
	rm -rf $(VENV) .venv-* site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find reports -mindepth 1 -not -path 'reports/reference*' -not -name README.md -delete

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "perflab needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.lab: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --quiet --editable '.[lab,postgres]'
	@touch $@

$(VENV)/.postgres: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --quiet --editable '.[lab,postgres]'
	@touch $@ $(VENV)/.lab

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.lab $(VENV)/.postgres
