# Every target sets up what it needs; the first one on a fresh clone takes a few minutes.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PIP    := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt
# small layers run faster on one thread, and several test workers share the machine
export OMP_NUM_THREADS ?= 1

.PHONY: setup demo test test-all bench notebooks lint clean

setup: $(STAMP)

# lava-nc 0.10.0 declares Python < 3.11 but runs here; its dependencies come with the lava extra
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e ".[all]"
	$(PIP) --no-deps --ignore-requires-python lava-nc norse
	touch $@

demo: setup
	$(BIN)/neurovlm demo --out out/demo --overwrite

test: setup
	$(BIN)/python -m pytest -q -n 2

test-all: setup
	$(BIN)/python -m pytest -q -n 2 -m ""

bench: setup
	$(BIN)/python -m benchmarks.bench_spiking --full
	$(BIN)/python -m benchmarks.bench_pipeline
	$(BIN)/neurovlm evaluate sttf-tiny --workers 2
	$(BIN)/python -m benchmarks.bench_sttf
	$(BIN)/python -m benchmarks.sttf_ablations
	$(BIN)/python -m benchmarks.bench_state
	$(BIN)/python -m benchmarks.bench_mask
	$(BIN)/python -m benchmarks.bench_estimates

notebooks: setup
	$(BIN)/python -m pytest -q -p no:cacheprovider --nbmake --nbmake-timeout=600 notebooks

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

clean:
	rm -rf out build *.egg-info .pytest_cache .mypy_cache .ruff_cache
