# `make serve` and `make test` each work alone on a fresh Debian or Ubuntu machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export RPY2_CFFI_MODE := ABI
export PYTHON

.PHONY: serve test bench fuzz soak lock proto format check-python clean

serve: $(VENV)/.serve
	$(BIN)/lockgate serve examples

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

bench: $(VENV)/.dev
	$(BIN)/python -m loadtests.bench

# Each of the three for so long; the test command runs a bounded turn of the same.
FOR_SECONDS ?= 1200
fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.support.h2grpc_fuzz $(FOR_SECONDS)
	$(BIN)/python -m tests.support.decoder_fuzz $(FOR_SECONDS)
	$(BIN)/python -m tests.support.api_fuzz $(FOR_SECONDS)

# Likewise; SEED=… repeats what was found.
soak: $(VENV)/.dev
	$(BIN)/python -m tests.support.h2grpc_soak $(FOR_SECONDS) $(SEED)

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: $(VENV)/.dev
	$(BIN)/python tools/generate_proto.py .

# Both files come from one resolution, so what is served is what was tested.
UV_COMPILE = $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header --quiet
lock:
	test -x $(BIN)/uv || ($(PYTHON) -m venv $(VENV) && $(BIN)/pip install uv)
	$(UV_COMPILE) --extra r --extra onnx --extra embedded --extra parquet --extra dev --extra loadtests -o requirements/dev.txt
	$(UV_COMPILE) --extra r --extra onnx --extra embedded --extra parquet -c requirements/dev.txt -o requirements/serve.txt
	$(UV_COMPILE) --extra r --extra onnx-gpu --extra embedded --extra parquet -c requirements/dev.txt -o requirements/serve-gpu.txt
	printf '%s\n' setuptools hatchling cffi | $(BIN)/uv pip compile - --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --quiet -c requirements/dev.txt -o requirements/build.txt

check-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.11 ..."; exit 1; }

# rpy2 is built here against the R that is installed, with pinned build tools: hence no build isolation.
$(VENV)/.build: requirements/build.txt | check-python
	sh tools/system-packages.sh serve
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements/build.txt
	touch $@

$(VENV)/.serve: requirements/serve.txt pyproject.toml $(VENV)/.build
	$(BIN)/pip install --quiet --require-hashes --no-build-isolation -r requirements/serve.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

NODE := tests/support/node
$(VENV)/.dev: requirements/dev.txt pyproject.toml $(NODE)/package.json $(NODE)/package-lock.json $(VENV)/.build
	sh tools/system-packages.sh test
	@command -v npm >/dev/null 2>&1 || \
		{ echo "npm is needed: tests call the server with gRPC's client for Node.js; install nodejs and npm and run make again"; exit 1; }
	npm ci --prefix $(NODE) --ignore-scripts --no-audit --no-fund
	$(BIN)/pip install --quiet --require-hashes --no-build-isolation -r requirements/dev.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@ $(VENV)/.serve

clean:
	rm -rf $(VENV) $(NODE)/node_modules .lockgate
