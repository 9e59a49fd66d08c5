# The project's commands; `make help` lists them. Everything is installed into .venv, nothing outside it.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
# The build backend is one of the pins, so it stands in the environment and not in an isolated one.
INSTALL := $(PIP) install --constraint constraints.txt --no-build-isolation

# Every map in the folder has its converter committed. What lies in dsl/maps/parts is only included; what lies in
# dsl/maps/more is shipped as a map alone, and pinned in dsl/maps/more/MANIFEST.
MAPS := $(sort $(wildcard dsl/maps/*.map))

.DEFAULT_GOAL := help
.PHONY: help test test-long check build demo bench clean test-oldest test-peers

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

# A stamp a set of packages: made again when the pins or the project's own requirements change.
$(VENV)/stamp-venv: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --constraint constraints.txt setuptools
	@touch $@

$(VENV)/stamp-test: pyproject.toml $(VENV)/stamp-venv
	$(INSTALL) --editable '.[test]'
	@touch $@

$(VENV)/stamp-demo: pyproject.toml $(VENV)/stamp-venv
	$(INSTALL) --editable '.[demo]'
	@touch $@

# A file of tests is run by one process, because its tests may share what they have made.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist loadfile

test: check  ## install what the tests need, check the code, run every test on all cores
	$(PYTEST)

test-long: $(VENV)/stamp-test  ## the tests that take minutes: large counts of what `make test` tries a few times
	$(PYTEST) -m long

# What is generated is formatted as it is made; a test looks at it with the defaults of black.
check: $(VENV)/stamp-test  ## format, lint, types, and that generated/ is what the maps say
	$(BIN)/black --check --extend-exclude '^/([.]typing|generated)/' .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/mapc fmt --check dsl/maps/*.map dsl/maps/parts/*.map dsl/maps/more/*.map
	$(BIN)/mapc build --check $(MAPS) --output generated

build: $(VENV)/stamp-test  ## write generated/ again from the maps
	$(BIN)/mapc build $(MAPS) --output generated

demo: $(VENV)/stamp-demo  ## small checkpoints from transformers to Megatron ranks and back, compared
	$(BIN)/python tests/demo.py

# A second environment, with the peers; --no-deps, because of what they pull in nothing is called here.
BENCH := .venv-bench
PEERS := ai2-olmo-core dataclass-extensions megatron-bridge
$(BENCH)/stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt setuptools
	$(BENCH)/bin/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt \
		--no-build-isolation --editable '.[demo]'
	$(BENCH)/bin/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt \
		--no-deps $(PEERS)
	@touch $@

bench: $(BENCH)/stamp  ## measure converters beside cp and beside their peers; ROWS="--only llama" for some rows
	$(BENCH)/bin/python -m tests.benchmarks $(ROWS)

# A third environment, with the oldest Python and the oldest versions that pyproject.toml allows.
PYTHON_OLDEST ?= python3.10
OLDEST        := .venv-oldest
$(OLDEST)/stamp: pyproject.toml constraints-oldest.txt
	$(PYTHON_OLDEST) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip --disable-pip-version-check --quiet install --constraint constraints-oldest.txt \
		--editable '.[fast]' hypothesis pytest ruff setuptools
	@touch $@

test-oldest: $(OLDEST)/stamp  ## the tests at the oldest versions that are supported (downloads gigabytes)
	$(OLDEST)/bin/python -m pytest --ignore tests/generated

# A fourth environment, with the software that loads what is converted; its transformers is older than the demo's.
LIVE := .venv-peers
$(LIVE)/stamp: pyproject.toml constraints-peers.txt
	$(PYTHON) -m venv $(LIVE)
	$(LIVE)/bin/python -m pip --disable-pip-version-check --quiet install --constraint constraints-peers.txt setuptools
	$(LIVE)/bin/python -m pip --disable-pip-version-check --quiet install --constraint constraints-peers.txt \
		--no-build-isolation --editable '.[fast]' einops hypothesis megatron-core omegaconf pytest \
		rich transformers
	$(LIVE)/bin/python -m pip --disable-pip-version-check --quiet install --constraint constraints-peers.txt \
		--no-deps megatron-bridge
	@touch $@

test-peers: $(LIVE)/stamp  ## converted checkpoints in live models of Megatron-Core and its bridge, on gloo; minutes
	@$(LIVE)/bin/python -c 'from importlib.util import find_spec as find; import sys; \
		sys.exit("".join(f"{peer} is not installed\n" for peer in ("megatron.core", "megatron.bridge", "transformers") if not find(peer)) or 0)'
	$(LIVE)/bin/python -m pytest tests/peers

clean:  ## remove the environment, the caches and what a build leaves
	rm -rf $(VENV) $(BENCH) $(OLDEST) $(LIVE) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
