"""Which provider to ask for, how work is spread, and two ONNX Runtimes in one directory."""

from pathlib import Path

import pytest

from onnxprune.errors import RuntimeProblem, UsageError
from onnxprune.measurement.providers import (
    CPU,
    CUDA,
    TENSORRT,
    library_problem,
    requested_providers,
    spread,
)
from onnxprune.measurement.runtime import Installed, check_distributions, installed_distributions
from onnxprune.measurement.session import _fallback, _small_share


@pytest.mark.parametrize(
    ("name", "available", "asked"),
    [
        ("auto", [CPU], (CPU,)),
        ("auto", [TENSORRT, CUDA, CPU], (CUDA, CPU)),
        ("cpu", [CUDA, CPU], (CPU,)),
        ("cuda", [CPU], (CUDA, CPU)),
        ("tensorrt", [CPU], (TENSORRT, CUDA, CPU)),
        ("XnnpackExecutionProvider", [CPU], ("XnnpackExecutionProvider", CPU)),
    ],
)
def test_a_name_stands_for_providers_with_the_cpu_last(name: str, available, asked) -> None:
    assert requested_providers(name, available) == asked


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(UsageError, match="auto, cpu, cuda, tensorrt"):
        requested_providers("gpu", [CPU])


def test_shares_are_weighed_by_macs() -> None:
    shares = spread([("a", CUDA), ("b", CPU), ("c", CPU)], {"a": 75, "b": 25})
    assert shares is not None
    assert (shares.of, shares.weighted_by, shares.main) == ({CUDA: 0.75, CPU: 0.25}, "macs", CUDA)


@pytest.mark.parametrize("macs", [None, {}, {"elsewhere": 5}])
def test_without_macs_nodes_are_counted(macs) -> None:
    shares = spread([("a", CUDA), ("b", CPU), ("c", CPU), ("d", CPU)], macs)
    assert shares is not None
    assert (shares.of[CUDA], shares.weighted_by, shares.main) == (0.25, "nodes", CPU)


def test_nothing_assigned_has_no_shares() -> None:
    assert spread([], {"a": 1}) is None


def test_an_active_provider_that_runs_nothing_is_a_fallback() -> None:
    assert "CPUExecutionProvider runs all" in _fallback(CUDA, [CUDA, CPU], spread([("a", CPU)], {"a": 1}))
    assert "session runs on" in _fallback(CUDA, [CPU], None)
    assert _fallback(CUDA, [CUDA, CPU], spread([("a", CUDA), ("b", CPU)], {"a": 1, "b": 99})) == ""


def test_a_share_below_95_percent_is_told() -> None:
    told = _small_share(CUDA, spread([("a", CUDA), ("b", CPU)], {"a": 60, "b": 40}))
    assert told == f"{CUDA} requested, but only 60% of the MACs run on it (40% on {CPU})"
    assert _small_share(CUDA, spread([("a", CUDA), ("b", CPU)], {"a": 96, "b": 4})) == ""


def test_a_library_that_does_not_load_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "libonnxruntime_providers_cuda.so"
    broken.write_bytes(b"no library")
    assert "libonnxruntime_providers_cuda.so" in library_problem(broken)
    assert library_problem(tmp_path / "absent.so") == ""


def install(folder: Path, name: str, version: str) -> None:
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_two_distributions_in_one_directory_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "onnxruntime", "1.31.1")
    install(tmp_path, "onnxruntime-gpu", "1.31.0")
    monkeypatch.syspath_prepend(tmp_path)
    found = installed_distributions()
    assert {"onnxruntime 1.31.1", "onnxruntime-gpu 1.31.0"} <= {str(each) for each in found}
    with pytest.raises(RuntimeProblem, match=r"onnxruntime-gpu 1\.31\.0 share one directory") as caught:
        check_distributions(found)
    assert caught.value.code == "E602"
    assert "uninstall" in caught.value.hint


def test_one_distribution_is_as_it_should_be() -> None:
    check_distributions([Installed("onnxruntime", "1.31.1", Path("site"))])


def test_distributions_in_different_directories_do_not_mix() -> None:
    check_distributions(
        [Installed(f"onnxruntime{end}", "1.31.1", Path(f"site{end}")) for end in ("", "-gpu")]
    )
