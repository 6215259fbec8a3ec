# Everything from a fresh checkout: `make run`, `make test`. See `make help`.
# Kept to what macOS's GNU make 3.81 and plain sh understand.

PY = .venv/bin/python
INPUTS = pyproject.toml constraints.txt packaging/environment.sh
# `make test PYTEST_ARGS="-k tree -x"`
PYTEST_ARGS =
# A file stays on one worker, whose models it shares; a worker may hold the starter pair, 0.7 GB. One more than cores, up to
# four: some tests wait for other processes. None: `make test WORKERS=`
CORES = $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
WORKERS = -n $(shell expr $(CORES) + 1) --maxprocesses=4 --dist loadfile
# `make invariance INVARIANCE_ARGS="--families llama gemma3 --part 1/2"`
INVARIANCE_ARGS =
# `make bench BENCH_ARGS="--full --out report.json"`
BENCH_ARGS =

.PHONY: help run test invariance check bench screenshots site bundle clean

help:
	@echo "make run          install what is missing, then open the window (without a display: answer in the terminal)"
	@echo "make test         install what is missing, then run the tests      PYTEST_ARGS='-k tree -x'"
	@echo "make invariance   each of a crowd has the ids that it has alone: all families of models      INVARIANCE_ARGS='--part 1/4'"
	@echo "make check        ruff, mypy --strict, import-linter, and whether the documentation's site builds"
	@echo "make bench        speculation against plain decoding, on this machine   BENCH_ARGS='--full'"
	@echo "make screenshots  draw the window into docs/screenshots, no display needed"
	@echo "make bundle       freeze the app into dist/ and, on Linux, prove it: no network, no Python, an empty home"
	@echo "make site         the documentation as pages to read, in build/site"
	@echo "make clean        remove caches and build outputs (.venv stays: rm -r .venv to start over)"

run: .venv/.installed-run
	@$(PY) -m mlx_spec.cli.launch

test: .venv/.installed-dev
	@QT_QPA_PLATFORM=offscreen OPENBLAS_NUM_THREADS=1 $(PY) mlx_spec/machine/blas.py -m pytest $(WORKERS) $(PYTEST_ARGS)

# With MLX's own BLAS, whose rows do not depend on each other: so equal means bit for bit.
invariance: .venv/.installed-dev
	@LOOKAHEAD_BLAS=off $(PY) mlx_spec/machine/blas.py -m tests.batching.invariance $(INVARIANCE_ARGS)

check: .venv/.installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

bench: .venv/.installed-run
	@$(PY) -m mlx_spec.cli bench $(BENCH_ARGS)

screenshots: .venv/.installed-run
	@sh packaging/environment.sh fonts
	@QT_QPA_PLATFORM=offscreen $(PY) mlx_spec/machine/blas.py -m app.scenes.screenshots docs/screenshots

# On a Mac packaging/release.sh signs what this builds.
bundle: .venv/.installed-bundle
	@$(PY) packaging/macos/pictures.py build/pictures
	@OPENBLAS_NUM_THREADS=1 $(PY) packaging/bundle/build.py
	@test "$$(uname -s)" != Linux || $(PY) packaging/proof/run.py
	@sh packaging/inputs.sh > packaging/proven

site: .venv/.installed-dev
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet
	@echo "build/site/index.html"

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find mlx_spec app prompt_files tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.installed-run: $(INPUTS)
	@sh packaging/environment.sh run
	@touch $@

.venv/.installed-bundle: .venv/.installed-run
	@sh packaging/environment.sh bundle
	@touch $@

.venv/.installed-dev: .venv/.installed-run
	@sh packaging/environment.sh dev
	@touch $@
