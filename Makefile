# Two commands on a machine with Python 3.11 (or 3.12) and make:
#   make demo [DATA=folder]   installs into .venv, trains, tests and restores on real faces
#   make test                 installs into .venv if need be, lints, checks types, runs the tests

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
INSTALLED := $(VENV)/.installed

.PHONY: install demo test clean

install: $(INSTALLED)

# BasicSR needs torch and Cython to be there while it is built, hence the order. Its dependency
# opencv-python wants the machine's libGL; the headless build of the same version does not, and takes its
# place, so that machines without a screen work too.
$(INSTALLED): constraints.txt pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q --progress-bar off -c constraints.txt setuptools wheel cython numpy torch torchvision
	$(PIP) install -q --progress-bar off -c constraints.txt --no-build-isolation basicsr
	$(PIP) install -q --progress-bar off -c constraints.txt --no-build-isolation -e ".[test]"
	$(PIP) install -q --progress-bar off -c constraints.txt --no-deps --force-reinstall opencv-python-headless
	touch $@

demo: $(INSTALLED)
	$(BIN)/python scripts/demo.py $(if $(DATA),--data "$(DATA)")

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p restoreformer
	$(BIN)/python -m pytest

clean:
	rm -rf $(VENV) demo_output build *.egg-info
