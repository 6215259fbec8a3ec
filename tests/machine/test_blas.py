"""OpenBLAS under MLX: one restart, the same command, and nothing where there is nothing to do."""

import subprocess
import sys
from pathlib import Path

import pytest

from mlx_spec.machine import blas

ROOT = Path(__file__).resolve().parents[2]
# As an entry point begins, told apart by a line that each start of the process leaves.
SCRIPT = """
import os, sys
sys.path.insert(0, {folder!r})
import blas
with open({log!r}, "a") as log:
    log.write("started\\n")
{before}
blas.ensure_preloaded()
print(sys.argv[1:], os.environ.get("LD_PRELOAD"))
"""

needs_openblas = pytest.mark.skipif(
    sys.platform != "linux" or blas.find_openblas() is None, reason="no OpenBLAS for Linux here"
)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which nobody has preloaded anything: `make test` has."""
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    monkeypatch.delenv(blas.SWITCH, raising=False)
    monkeypatch.delenv(blas.KERNELS, raising=False)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return write_script(tmp_path)


def write_script(folder: Path, before: str = "") -> Path:
    path = folder / "entry.py"
    text = SCRIPT.format(folder=str(ROOT / "mlx_spec" / "machine"), log=str(folder / "log"), before=before)
    path.write_text(text, encoding="utf-8")
    return path


def python(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def starts(folder: Path) -> int:
    return (folder / "log").read_text(encoding="utf-8").count("started")


@pytest.mark.usefixtures("bare")
class TestRestart:
    @needs_openblas
    def test_it_happens_once_and_keeps_the_arguments(self, script: Path, tmp_path: Path) -> None:
        told = python(str(script), "generate", "two words", "--seed=1")
        assert told == f"['generate', 'two words', '--seed=1'] {blas.find_openblas()}"
        assert starts(tmp_path) == 2

    @needs_openblas
    def test_it_works_for_a_module_and_keeps_the_interpreters_options(self, script: Path, tmp_path: Path) -> None:
        code = f"import runpy, sys; sys.path.insert(0, {str(tmp_path)!r}); runpy.run_module({script.stem!r})"
        assert python("-X", "dev", "-c", code, "a b") == f"['a b'] {blas.find_openblas()}"

    @needs_openblas
    def test_what_was_preloaded_stays_in_front(self, script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        other = next(Path("/lib").glob("*-linux-gnu/libm.so.6"), None) or Path("/lib64/libm.so.6")
        monkeypatch.setenv("LD_PRELOAD", str(other))
        assert python(str(script)) == f"[] {other}:{blas.find_openblas()}"

    @needs_openblas
    def test_a_system_that_drops_the_variable_does_not_make_it_loop(self, tmp_path: Path) -> None:
        assert python(str(write_script(tmp_path, before="os.environ.pop('LD_PRELOAD', None)"))) == "[] None"
        assert starts(tmp_path) == 2

    def test_off_leaves_the_process_alone(self, script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LOOKAHEAD_BLAS", "off")
        assert python(str(script)) == "[] None"
        assert starts(tmp_path) == 1

    @needs_openblas
    def test_the_module_runs_any_command_under_openblas(self) -> None:
        code = "print('libopenblas' in open('/proc/self/maps').read())"
        assert python(str(ROOT / "mlx_spec/machine/blas.py"), "-c", code) == "True"

    @needs_openblas
    def test_the_command_line_is_served_by_openblas(self) -> None:
        assert '"serving": "openblas"' in python("-m", "mlx_spec.cli", "doctor", "--json")


@pytest.mark.usefixtures("bare")
class TestEnvironment:
    def test_nothing_changes_outside_linux(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "darwin")
        assert blas.blas_environment() == {}

    def test_nothing_changes_without_the_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setattr(blas, "LIBRARY", "libno-such-blas.so.0")
        assert blas.blas_environment() == {}

    def test_a_child_of_a_preloaded_process_changes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LD_PRELOAD", f"/usr/lib/{blas.LIBRARY}")
        assert blas.is_preloaded()
        assert blas.blas_environment() == {}

    def test_the_module_needs_nothing_but_os_and_sys(self) -> None:
        """It runs before everything else, and mostly to throw its process away."""
        folder = str(ROOT / "mlx_spec" / "machine")
        code = f"import os, sys; sys.path.insert(0, {folder!r}); old = set(sys.modules); import blas; "
        assert python("-S", "-c", code + "print(sorted(set(sys.modules) - old))") == "['blas']"


AVX2 = frozenset({"fpu", "sse2", "avx", "avx2", "fma"})
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
TOLD = """
import ctypes, os, sys
sys.path.insert(0, {folder!r})
import blas
blas.ensure_preloaded()
print(os.environ.get("OPENBLAS_CORETYPE"), blas.kernels_of(blas.find_openblas()), sep=",")
"""


class TestKernels:
    """A processor that is younger than OpenBLAS is not served as one of 2004."""

    @pytest.mark.parametrize(
        ("kernels", "flags", "newer"),
        [
            ("Prescott", AVX512, "SkylakeX"),
            ("Prescott", AVX2, "Haswell"),
            ("Prescott", AVX512 - {"avx512vl"}, "Haswell"),
            ("Nehalem", AVX2, "Haswell"),
            ("Prescott", frozenset({"fpu", "sse2"}), None),
            ("Prescott", AVX2 - {"fma"}, None),
            ("SkylakeX", AVX512, None),
            ("Zen", AVX2, None),
            ("Haswell", AVX512, None),
            ("neoversen1", frozenset(), None),
            ("", AVX512, None),
        ],
    )
    def test_which_are_taken(self, kernels: str, flags: frozenset[str], newer: str | None) -> None:
        assert blas.newer_kernels(kernels, flags) == newer

    @needs_openblas
    @pytest.mark.usefixtures("bare")
    def test_none_here_is_older_than_the_processor(self, tmp_path: Path) -> None:
        (path := tmp_path / "told.py").write_text(TOLD.format(folder=str(ROOT / "mlx_spec/machine")), encoding="utf-8")
        asked, taken = python(str(path)).split(",")
        assert asked in ("None", taken)
        assert blas.newer_kernels(taken, blas.processor_flags()) is None

    @needs_openblas
    @pytest.mark.usefixtures("bare")
    def test_what_somebody_has_said_stays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(blas.KERNELS, "Nehalem")
        assert blas.KERNELS not in blas.blas_environment()

    def test_a_library_that_tells_nothing_is_left_alone(self, tmp_path: Path) -> None:
        assert blas.kernels_of(str(tmp_path / "libopenblas.so.0")) == ""
