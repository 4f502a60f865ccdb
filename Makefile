# Everything here starts from a clone, a Python >= 3.11 and a C++ compiler; the rest is set up on the first run.

PYTHON ?= python3
BIN := .venv/bin
# An existing environment's Python is the fastest to start, and the right one to continue with.
SETUP = $(or $(wildcard $(BIN)/python),$(PYTHON)) packaging/bootstrap.py
ARM := build/native/arm64
NATIVE_TESTS = $(BIN)/cmake -S native -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja -DSECONDME_MODULE=OFF \
  -DSECONDME_TESTS=ON

PEERS_OF_kvpress := cartridges
PEERS_OF_mem0 := recall
PEERS_OF_mlx-lm := runtime
APART := kvpress mem0 mlx-lm
MLX = $(if $(filter mlx,$(BACKEND)),--mlx)

.DEFAULT_GOAL := help
.PHONY: help chat test soak coverage check bench lock dist native-asan native-tsan test-native-arm native-bench clean python

help:
	@echo "make chat         set up if needed, then open secondme (BACKEND=mlx also installs MLX, and runs the model with it)"
	@echo "make test         set up if needed, then run the tests (ARGS=... go to pytest)"
	@echo "make soak         run the fault and property tests in their full size, for hours (ARGS=... go to pytest)"
	@echo "make coverage     measure which lines and branches of keys and store the tests reach; all, or it fails"
	@echo "make check        formatting, lint, types, layers and licences"
	@echo "make bench        print the benchmark rows (ARGS=... go to secondme bench; PEERS=1 installs what vectors compares with,"
	@echo "                  PEERS=kvpress what cartridges compares with, PEERS=mem0 what recall does,"
	@echo "                  PEERS=mlx-lm what runtime does; BACKEND=mlx runs the model with MLX)"
	@echo "make dist         build wheel and sdist, install both into clean environments and try them"
	@echo "make native-asan  run the native tests under the address and undefined-behaviour sanitizers"
	@echo "make native-tsan  search from 16 threads while one writes, under the thread sanitizer (SECONDME_STRESS_S=... for longer)"
	@echo "make native-bench  print the speed of every kernel that runs here (ARGS='rows dims')"
	@echo "make test-native-arm  build them for 64-bit Arm and run them under emulation"
	@echo "make lock         resolve and hash the dependencies anew (UPGRADE=1 for newer versions)"
	@echo "make clean        delete the environment and what was built; models, memory and the built runtime stay"
	@echo "PYTHON=python3.12 chooses the Python of a new environment."

python:
	@test -e $(BIN)/python || command -v $(PYTHON) >/dev/null || \
	  { echo "error: $(PYTHON) was not found" >&2; echo "hint: install Python 3.11 or newer, or name one: make PYTHON=..." >&2; exit 1; }

chat: python
	@$(SETUP) $(MLX)
	@exec $(BIN)/secondme chat $(if $(BACKEND),--backend $(BACKEND))

test: python
	@$(SETUP) --dev
	$(BIN)/python -m pytest $(ARGS)

soak: python
	@$(SETUP) --dev
	SECONDME_SOAK=1 $(BIN)/python -m pytest --timeout 43200 $(or $(ARGS),tests/fault tests/property tests/unit/exchange)

coverage: python
	@$(SETUP) --dev
	$(BIN)/python -m pytest -q --cov --cov-report=term-missing:skip-covered \
	  $(or $(ARGS),tests/unit tests/fault tests/property tests/golden tests/integration)

check: python
	@$(SETUP) --dev --no-models
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python packaging/licences.py

bench: python
	@$(SETUP) $(MLX) $(if $(filter $(APART),$(PEERS)),--$(PEERS),$(if $(PEERS),--bench))
	@$(BIN)/secondme bench $(or $(ARGS),$(or $(PEERS_OF_$(PEERS)),$(if $(PEERS),vectors)) $(if $(PEERS),--peers)) \
	  $(if $(BACKEND),--backend $(BACKEND))

dist: python
	@$(SETUP) --dev
	$(BIN)/python packaging/check_dist.py

native-asan: python
	@$(SETUP) --dev --no-models
	$(NATIVE_TESTS) -B build/native/asan -DSECONDME_SANITIZE=address
	$(BIN)/cmake --build build/native/asan
	SECONDME_STRESS_S=$(or $(SECONDME_STRESS_S),3) $(BIN)/ctest --test-dir build/native/asan --output-on-failure

native-tsan: python
	@$(SETUP) --dev --no-models
	$(NATIVE_TESTS) -B build/native/tsan -DSECONDME_SANITIZE=thread
	$(BIN)/cmake --build build/native/tsan --target index_test stress_test
	SECONDME_STRESS_S=$(or $(SECONDME_STRESS_S),10) $(BIN)/ctest --test-dir build/native/tsan --output-on-failure -R 'index|stress'

native-bench: python
	@$(SETUP) --dev --no-models
	@$(BIN)/cmake -S native -B build/native/bench -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja \
	  -DSECONDME_MODULE=OFF -DSECONDME_BENCH=ON >&2
	@$(BIN)/cmake --build build/native/bench --target native_bench >&2
	@build/native/bench/native_bench $(ARGS)

test-native-arm: python
	@for tool in aarch64-linux-gnu-g++ qemu-aarch64; do command -v $$tool >/dev/null || \
	  { echo "error: $$tool was not found" >&2; \
	    echo "hint: on Debian: apt install g++-aarch64-linux-gnu qemu-user" >&2; exit 1; }; done
	@$(SETUP) --dev --no-models
	$(NATIVE_TESTS) -B $(ARM) -DCMAKE_TOOLCHAIN_FILE=$(abspath native/cmake/aarch64-linux-gnu.cmake)
	$(BIN)/cmake --build $(ARM)
	SECONDME_STRESS_S=$(or $(SECONDME_STRESS_S),1) $(BIN)/ctest --test-dir $(ARM) --output-on-failure

lock: python
	$(PYTHON) packaging/lock.py $(if $(UPGRADE),--upgrade)

clean:
	rm -rf .venv build dist secondme/kernels/_native.*.so .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*
	find secondme tests packaging -name __pycache__ -type d -prune -exec rm -rf {} +
