# Every target does all of its own set-up: a virtual environment in .venv, the install, the run.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# An environment of its own: the TPU compiler beside a JAX without TPU complains at every start.
TPU    := .venv-tpu
DEMO   ?= demo
# Annotations of shapes and types, checked at run time: a third of the time of a test, hence not in all.
CHECKED := --jaxtyping-packages=jaxalign,beartype.beartype
TYPED   := $(addprefix tests/,metrics pairwise significance alignment embeddings)

.PHONY: help demo test test-types test-slow test-tpu bench bench-tpu lint clean

help:
	@echo "make demo       embed 1,000 molecules with 19 encoders, align them, write a report"
	@echo "make test       all tests that fit in minutes"
	@echo "make test-types tests of the engine with all annotations checked at run time"
	@echo "make test-slow  long fuzzing and kill tests"
	@echo "make test-tpu   the sharded programs compile for TPU; no TPU is needed"
	@echo "make bench      throughput of the metrics engine, alone and beside its peers"
	@echo "make bench-tpu  figures of the programs compiled for TPU pods (minutes on two cores)"
	@echo "make lint       ruff check and format check"
	@echo "make clean      remove the virtual environment and the demo's results"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: Python 3.11 or newer is wanted, $(PYTHON) is older; run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# One stamp an extra: an install is repeated only when pyproject.toml changes.
$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

$(VENV)/.installed-lint: .pre-commit-config.yaml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check 'ruff>=0.9'
	@touch $@

$(TPU)/.installed: pyproject.toml
	$(PYTHON) -m venv $(TPU)
	$(TPU)/bin/pip install --quiet --disable-pip-version-check --editable '.[tpu]' 'pytest>=8.3' 'beartype>=0.20'
	@touch $@

demo: $(VENV)/.installed-all
	$(BIN)/jaxalign run --config=configs/molecules.py --workdir=$(DEMO)

test: $(VENV)/.installed-all,test
	$(BIN)/python -m pytest -n 2 --dist=loadfile --no-loadscope-reorder -m 'not slow' --ignore=tests/parallel/tpu_compile_test.py

test-types: $(VENV)/.installed-all,test
	$(BIN)/python -m pytest -n 2 --dist=loadfile --no-loadscope-reorder -m 'not slow' $(CHECKED) $(TYPED)

test-slow: $(VENV)/.installed-all,test
	$(BIN)/python -m pytest -m slow $(CHECKED) --ignore=tests/parallel/tpu_compile_test.py

test-tpu: $(TPU)/.installed
	$(TPU)/bin/python -m pytest -m tpu_compile tests/parallel/tpu_compile_test.py

bench: $(VENV)/.installed-all,test
	$(BIN)/python benchmarks/metric_throughput.py --output=throughput.json
	$(BIN)/python benchmarks/peers.py --output=peers.json

bench-tpu: $(TPU)/.installed
	$(TPU)/bin/python benchmarks/tpu_compile.py --output=tpu_compile.json

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) $(TPU) $(DEMO)
