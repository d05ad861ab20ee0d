# Two commands do all the set-up they need: `make demo` and `make test`. The others are for development.
PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
VENV ?= .venv
DATA ?= $(or $(GSR_DATA),../shared/data)
OUT ?= out
RUN = $(VENV)/bin
# a process a core, four at most
PYTEST = OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(RUN)/python -m pytest -q -n auto --maxprocesses 4 --dist worksteal

.PHONY: venv librelane demo test slow corpus fuzz lint format clean
venv: $(VENV)/.done
librelane: $(VENV)/librelane/.done
demo: $(VENV)/.done tcl
	$(RUN)/python demos/demo.py --out $(OUT)/demo $(if $(TRAIN),--train)
test: $(VENV)/.done tcl
	$(PYTEST) -m "not slow and not gpu and not openroad"
	TRITON_INTERPRET=1 $(PYTEST) tests/test_triton.py
slow: $(VENV)/.done
	$(PYTEST) -m "slow and not gpu and not openroad"
corpus: $(VENV)/.done
	@test -d "$(GSR_CORPUS)" || { echo "GSR_CORPUS names no folder: GSR_CORPUS=DIR make corpus" >&2; exit 1; }
	OMP_NUM_THREADS=1 $(RUN)/python tests/corpus.py "$(GSR_CORPUS)" --out $(OUT)/corpus.tsv
READER ?= def
RUNS ?= 100000
fuzz: $(VENV)/.done
	$(RUN)/python -c "import atheris" 2>/dev/null || $(RUN)/pip install -q "atheris>=3"
	mkdir -p $(OUT)/fuzz/$(READER)
	OMP_NUM_THREADS=1 $(RUN)/python tests/fuzz/readers.py $(READER) -runs=$(RUNS) \
	  -artifact_prefix=$(OUT)/fuzz/$(READER)- $(OUT)/fuzz/$(READER)
lint: $(VENV)/.done $(VENV)/tcl/.done
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(VENV)/tcl/bin/tclfmt --check flow_hooks/tcl tests/tcl
	$(VENV)/tcl/bin/tclint flow_hooks/tcl tests/tcl bench/power
format: $(VENV)/.done $(VENV)/tcl/.done
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .
	$(VENV)/tcl/bin/tclfmt --in-place flow_hooks/tcl tests/tcl

# Everything is installed in a virtual environment; tclsh, which runs the hooks without OpenROAD, comes from the system.
TCLSH_MISSING = tclsh is needed: install it (Debian: apt-get install tcl)
.PHONY: tcl
tcl:
	@command -v tclsh >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq tcl >/dev/null; } \
	  || sudo -n apt-get install -y -qq tcl >/dev/null || { echo "$(TCLSH_MISSING)" >&2; exit 1; }
$(VENV)/.done: pyproject.toml setup.py $(wildcard circuit_io/csrc/* gsr_plugin/csrc/*) $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(RUN)/pip install -q -U pip
	$(RUN)/pip install -q -c $(CONSTRAINTS) -e ".[dev]"
	touch $@
# apart, since tclint and mypy ask for different releases of pathspec
$(VENV)/tcl/.done: $(VENV)/.done
	$(PYTHON) -m venv $(VENV)/tcl
	$(VENV)/tcl/bin/pip install -q "tclint>=0.9"
	touch $@
# apart, since LibreLane asks for an older click; without our dependencies, since the plug-in needs none there
$(VENV)/librelane/.done: $(VENV)/.done
	$(PYTHON) -m venv $(VENV)/librelane
	$(VENV)/librelane/bin/pip install -q -c $(CONSTRAINTS) "librelane>=3.0.17"
	CC=false $(VENV)/librelane/bin/pip install -q --no-deps -e .  # the C code is built already
	touch $@
clean:
	rm -rf $(VENV) $(OUT) circuit_io/*.so gsr_plugin/*.so build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
