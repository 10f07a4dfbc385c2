# The commands of the README. On a machine with python3 >= 3.11 each makes its own environment first.
#
#   make demo    simulate the ARGO phantom, reconstruct it, say what was resolved
#   make test    the tests
#   make lint    formatting, lint rules, types
#   make bench   list the benchmark scripts
#   make clean   remove what these commands made, but not the environment
#
# PYTHON=python3.12 chooses the interpreter, VENV=folder the environment. pip's own settings are honoured.

VENV ?= .venv
PYTHON ?=

# Results are the same for any number of threads; timings and memory are not.
ONE_THREAD = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 VECLIB_MAXIMUM_THREADS=1

PIP = "$(VENV)/bin/python" -m pip --disable-pip-version-check --no-input
READY = $(VENV)/.fluosr-ready

.PHONY: help demo test lint format bench clean distclean environment
.DELETE_ON_ERROR:

help:
	@sed -n '/^#   make/s/^#   //p' Makefile

# The stamp is written last: an environment that was left half-made has none and is completed.
environment: $(READY)

$(READY): pyproject.toml constraints.txt tools/environment.sh
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh tools/environment.sh
	@echo "Installing into $(VENV) (once; torch is large, so this can take minutes) ..."
	@$(PIP) install --quiet -c constraints.txt pip setuptools
	@$(PIP) install --quiet -c constraints.txt --no-build-isolation -e ".[dev]"
	@$(PIP) check
	@touch "$@"

demo: $(READY)
	@"$(VENV)/bin/python" -m fluosr.demo --output demo/

test: $(READY)
	@$(ONE_THREAD) "$(VENV)/bin/python" -m pytest -q -n auto --dist worksteal $(PYTEST_ARGS)

lint: $(READY)
	"$(VENV)/bin/ruff" format --check .
	"$(VENV)/bin/ruff" check .
	"$(VENV)/bin/mypy" src

format: $(READY)
	"$(VENV)/bin/ruff" check --fix .
	"$(VENV)/bin/ruff" format .

bench:
	@echo "Run one with: $(VENV)/bin/python benchmarks/NAME.py"
	@for script in benchmarks/*.py; do \
		if [ "$$script" != benchmarks/tables.py ]; then printf '  %-44s %s\n' "$$script" "$$(sed -n '1s/^"""//;1s/"""$$//;1p' "$$script")"; fi; \
	done

clean:
	rm -rf demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis src/fluosr.egg-info
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	@if [ -e "$(VENV)/pyvenv.cfg" ]; then rm -rf "$(VENV)"; fi
