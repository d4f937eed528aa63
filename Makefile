# Two commands do all the set-up on a machine with Python 3.11 or newer, pip and make:
#   make demo   installs into ./.venv and compresses the model that lies in models/ to half its MACs
#   make test   installs torch and the development tools too, and runs the tests
# PYTHON=python3.12 chooses another interpreter, VENV=dir another place.

PYTHON ?= python3
VENV ?= .venv
# TORCH_INDEX=url of PyTorch's CPU wheels spares a Linux machine without a GPU gigabytes of CUDA packages;
# make demo TORCH= goes without torch, and so without distillation and the agent that learns
TORCH_INDEX ?=
TORCH ?= torch
PYTEST_ARGS ?= --numprocesses=auto --dist=worksteal

export PIP_DISABLE_PIP_VERSION_CHECK = 1
PIP_INSTALL = $(VENV)/bin/python -m pip install -c constraints.txt

.PHONY: demo test lint clean

demo: $(VENV)/.installed-demo
	$(VENV)/bin/onnxprune demo

# one worker a processor, each in one thread
test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info

# The last lines serve systems that split the venv module off (no ensurepip): pip itself fills the venv.
define make_venv
@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
	f"onnxprune needs Python 3.11 or newer, $(PYTHON) is {sys.version.split()[0]}; try: make $(MAKECMDGOALS) PYTHON=python3.12")'
@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV) 2>/dev/null \
	|| { $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(VENV)/bin/python install pip; }
endef

INSTALL_TORCH = $(PIP_INSTALL) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch torch-geometric

# Without torch the demo does everything but distillation, its search goes to a simpler agent, and it says so.
$(VENV)/.installed-demo: pyproject.toml constraints.txt
	@echo "Installing onnxprune with numpy, scipy, onnx, ONNX Runtime, click, rich$(if $(TORCH), torch and torch-geometric) into $(abspath $(VENV)):"
	@echo "up to 340 MB to download and 650 MB on disk (on x86-64; ONNX Runtime with GPU support is most of it)$(if $(TORCH),;)"
	@$(if $(TORCH),echo "torch's CPU build adds 200 MB and 700 MB (TORCH_INDEX chooses it); with CUDA it is several times that.",true)
	$(make_venv)
	$(PIP_INSTALL) -e .
	$(if $(TORCH),$(INSTALL_TORCH) || echo "torch could not be installed; the demo goes without distillation, and a simpler agent searches",@true)
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt
	@echo "Installing onnxprune, torch and the development tools into $(abspath $(VENV)):"
	@echo "up to 600 MB to download and 1.7 GB on disk with torch's CPU build (TORCH_INDEX chooses it); more with CUDA."
	$(make_venv)
	$(INSTALL_TORCH)
	$(PIP_INSTALL) -e '.[dev,torch,agents,gymnasium,distributed]'
	@touch $@ $(VENV)/.installed-demo
