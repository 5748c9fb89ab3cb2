# make run [PORT=8601]   install what is needed, start the app
# make test [ARGS=...]   install what is needed, run all tests in as many processes as there are cores; with ARGS a part of them:
#                        make test ARGS="-n 0 -k losses" runs one after another in one process
# make bench             measure, print one table
# make bench-peers [ARGS=house]  distillation by TRL and by the barest loop beside ours, in turns; TRL in an environment of its own
# make check             lint, types, and all tests with the branch coverage of core/: what has to pass before a change lands
# make lint              check style, spelling and YAML
# make types             check the types
# make reference         write docs/reference/ from the code

PYTHON3 ?= python3
PORT ?= 8501
export PORT

VENV := .venv
PYTHON := $(VENV)/bin/python
RUNTIME := $(VENV)/.runtime
DEVELOPMENT := $(VENV)/.development
VENV_PEERS := .venv-peers
PEERS := $(VENV_PEERS)/.installed
# A file of tests stays in one process, which builds what the file's tests share once, and the files keep their order: browser tests last.
PARALLEL := -n auto --dist loadfile --no-loadscope-reorder
COVERAGE := --cov --cov-report=term:skip-covered

.PHONY: run test check bench bench-peers lint types reference browser slurm

run: $(RUNTIME)
	@$(PYTHON) -m workbench

test: $(DEVELOPMENT) browser slurm
	$(PYTHON) -m pytest $(PARALLEL) $(ARGS)

bench: $(DEVELOPMENT) browser
	$(PYTHON) -m tests.benchmarks

bench-peers: $(DEVELOPMENT) $(PEERS)
	$(PYTHON) -m tests.benchmarks.peers $(ARGS)

check: lint types
	@$(MAKE) --no-print-directory test ARGS="$(COVERAGE)"

lint: $(DEVELOPMENT)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m codespell_lib .
	$(PYTHON) -m yamllint --strict .

types: $(DEVELOPMENT)
	$(PYTHON) -m mypy

reference: $(DEVELOPMENT)
	$(PYTHON) -m workbench.terminal.reference
	$(PYTHON) -m tests.core.families

browser:
	@sh .ci/browser

slurm:
	@sh .ci/slurm

$(RUNTIME): requirements.txt constraints.txt
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; python3 is " + sys.version.split()[0])'
	@echo "Installing into $(VENV): once, a few minutes."
	@$(PYTHON3) -m venv $(VENV)
	@$(PYTHON) -m pip install --disable-pip-version-check -r requirements.txt -c constraints.txt
	@touch $@

$(DEVELOPMENT): requirements-dev.txt $(RUNTIME)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt -c constraints.txt
	@touch $@

$(PEERS): requirements-peers.txt constraints.txt
	@$(PYTHON3) -m venv $(VENV_PEERS)
	@$(VENV_PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-peers.txt -c constraints.txt
	@touch $@
