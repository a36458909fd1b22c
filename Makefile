# `make` rebuilds every result; `make test` tests the project; `make help` lists the rest.
# Needs make and Python >= 3.11. Everything else goes into .venv, from envs/lock.txt.
# The environment in .venv can also be used directly: .venv/bin/snakemake --cores 2

PYTHON ?= python3
CORES ?= all
SCALE ?=

# Rules call `firstorder` by name, so the environment comes first on the path.
RUN = PATH="$(CURDIR)/.venv/bin:$$PATH"
SETTINGS = $(if $(SCALE),--config scale=$(SCALE))

# The lock decides what is imported and where it is installed, whatever the shell says.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PIP_USER PIP_TARGET PIP_PREFIX
# Images of containers often set this; torch alone would be compiled anew by every process.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONNOUSERSITE = 1
# Snakemake and matplotlib keep caches in the home folder and ask for the user's name. A container
# may have neither.
ifneq ($(shell [ -n "$$HOME" ] && [ -d "$$HOME" ] && [ -w "$$HOME" ] && echo yes),yes)
export HOME := $(CURDIR)/.snakemake/home
unexport XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
$(shell mkdir -p "$(HOME)")
endif
ifneq ($(shell id -un >/dev/null 2>&1 && echo yes),yes)
export USER := $(or $(USER),user)
endif

.PHONY: all clean env test fuzz lowest lint bench schema lock help

all: .venv/installed ## rebuild all results, the paper and the report (SCALE=small: another scale; CORES=4)
	@$(RUN) python -m firstorder.exclusive snakemake --cores $(CORES) $(SETTINGS)
	@$(call REPORT)

env: .venv/installed ## only create the environment

# Long files first. Tests of one file share what they make.
test: .venv/installed ## run the tests
	@$(RUN) OMP_NUM_THREADS=1 pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder \
	  tests/workflow tests/faults tests/unit tests/property

fuzz: .venv/installed ## try hostile configurations, arguments and records for an hour or more
	@$(RUN) env FIRSTORDER_FUZZ=1 pytest --timeout 36000 tests/property/test_configuration_fuzz.py \
	  tests/property/test_arguments_fuzz.py tests/faults/test_records.py

lowest: .venv/installed ## make everything tiny with the oldest packages that pyproject.toml allows
	@.venv/bin/uv venv --quiet --allow-existing --python .venv/bin/python .lowest
	@.venv/bin/uv pip install --quiet --python .lowest/bin/python --resolution lowest-direct \
	  $(WHEELS) --no-binary firstorder --editable '.[workflow]' --group dev
	@.lowest/bin/python -m pytest tests/unit/line_attractor tests/unit/test_publish_paper.py \
	  tests/workflow/test_workflow.py -k "line_attractor or paper"

lint: .venv/installed ## check formatting, types, the workflow and the configuration's schema
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) python -m firstorder.schema --check
	$(RUN) snakefmt --check Snakefile workflow
	$(RUN) snakemake --lint

bench: .venv/installed ## measure speed against other libraries (ITEMS="kernel training")
	@$(RUN) python tests/benchmarks $(ITEMS)

schema: .venv/installed ## write config/schema/ after a change of the models of config/
	@$(RUN) python -m firstorder.schema

COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header
lock: .venv/installed ## write the lock after a change of the dependencies (UPGRADE=--upgrade: newest)
	$(RUN) $(COMPILE) $(UPGRADE) $(WHEELS) --group dev --extra workflow --extra slurm pyproject.toml -o envs/lock.txt
	printf 'setuptools\nuv\n' | $(RUN) $(COMPILE) $(UPGRADE) -c envs/lock.txt - -o envs/bootstrap.txt

clean: .venv/installed ## delete results that nothing in config/ makes any more (firstorder orphans lists them)
	@$(RUN) firstorder orphans --delete $(if $(SCALE),--scale $(SCALE))

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile

# Hashes are checked and nothing unpinned is downloaded: the one package without a wheel is
# built with the locked setuptools. The stamp comes last; an interrupted installation starts
# again from nothing.
WHEELS = --only-binary :all: --no-binary connection-pool

# A bar of what is downloaded for who watches, no list of packages for who keeps the text.
QUIET = $(shell [ -t 2 ] || echo --quiet)

.venv/installed: envs/bootstrap.txt envs/lock.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "firstorder needs Python 3.11 or newer, not '$(PYTHON)'" \
	    "($$($(PYTHON) --version 2>&1 | head -n 1)); name one: make PYTHON=python3.12" >&2; exit 1; }
	@if [ -e .venv/incomplete ]; then rm -rf .venv; fi
	@mkdir -p .venv && : >.venv/incomplete
	@[ -x .venv/bin/pip ] || $(PYTHON) -m venv .venv
	@echo "installing the locked environment into .venv (once)"
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  -r envs/bootstrap.txt
	@.venv/bin/uv pip install $(QUIET) --python .venv/bin/python --require-hashes --no-build-isolation \
	  $(WHEELS) -r envs/lock.txt
	@.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation \
	  --editable .
	@rm .venv/incomplete
	@touch $@

ROOT = from firstorder.jobs import paths, plan; \
  scale = "$(SCALE)"; \
  print(paths.paths(plan.make("config", {"scale": scale} if scale else {}).config).root)

# The report is made again only when a published file is newer than it. Then a run has just said
# where everything else is; otherwise nobody has.
define REPORT
root=$$($(RUN) python -c '$(ROOT)') && page="$$root/report.html" && \
if [ ! -e "$$page" ] || [ -n "$$(find "$$root"/*.* "$$root/tables" "$$root/figures" \
    -type f -newer "$$page")" ]; then \
  mkdir -p "$$root/.report" && \
  $(RUN) snakemake --quiet all --report "$$root/.report/report.html" \
    --report-stylesheet workflow/report/report.css $(SETTINGS) && \
  mv "$$root/.report/report.html" "$$page" && rmdir "$$root/.report"; \
else \
  echo "page     $$root/index.html" && echo "paper    $$root/paper.pdf" && \
  echo "tables   $$root/tables/" && echo "figures  $$root/figures/"; \
fi && echo "report   $$page"
endef
