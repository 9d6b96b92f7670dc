# make demo: the main job on a fresh machine. make test: both tested environments, all tests, lint and types.
PYTHON ?= python3
TORCH := torch==2.13.0
TRL := .venv/trl
AXOLOTL := .venv/axolotl
DEMO := .venv/demo

.PHONY: demo test lint test-trl test-axolotl coverage clean

demo: $(DEMO)/.ready
	$(DEMO)/bin/python examples/demo/demo.py

test: lint test-trl test-axolotl coverage

lint: $(TRL)/.ready
	$(TRL)/bin/ruff check .
	$(TRL)/bin/ruff format --check .
	$(TRL)/bin/mypy

# Two workers of one thread each: the models are tiny, and threads only wait for each other.
PYTEST := -m pytest -n 2 --dist loadfile --cov --cov-report=
test-trl test-axolotl: export OMP_NUM_THREADS = 1

test-trl: $(TRL)/.ready
	COVERAGE_FILE=.coverage.trl $(TRL)/bin/python $(PYTEST) tests

test-axolotl: $(AXOLOTL)/.ready
	COVERAGE_FILE=.coverage.axolotl $(AXOLOTL)/bin/python $(PYTEST) tests/axolotl tests/trl tests/unit

coverage: $(TRL)/.ready
	$(TRL)/bin/python -m coverage combine --keep
	$(TRL)/bin/python -m coverage report --skip-covered

# Newest TRL needs Python 3.11; on 3.10 pip finds the newest that runs there.
$(DEMO)/.ready: pyproject.toml constraints/trl.txt
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/python -m pip install -q --upgrade pip
	$(DEMO)/bin/python -m pip install -q $(TORCH)
	if $(DEMO)/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; \
	then $(DEMO)/bin/python -m pip install -q -c constraints/trl.txt -e .; \
	else $(DEMO)/bin/python -m pip install -q -e .; fi
	touch $@

$(TRL)/.ready: pyproject.toml constraints/trl.txt
	$(PYTHON) -m venv $(TRL)
	$(TRL)/bin/python -m pip install -q --upgrade pip
	$(TRL)/bin/python -m pip install -q $(TORCH)
	$(TRL)/bin/python -m pip install -q -c constraints/trl.txt -e '.[dev]'
	touch $@

$(AXOLOTL)/.ready: pyproject.toml constraints/axolotl.txt
	$(PYTHON) -m venv $(AXOLOTL)
	$(AXOLOTL)/bin/python -m pip install -q --upgrade pip
	$(AXOLOTL)/bin/python -m pip install -q $(TORCH)
	$(AXOLOTL)/bin/python -m pip install -q -c constraints/axolotl.txt axolotl==0.19.0
	$(AXOLOTL)/bin/python -m pip install -q -c constraints/axolotl.txt -e '.[test]'
	touch $@

clean:
	rm -rf .venv .coverage .coverage.* runs dist build
