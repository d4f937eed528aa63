"""Every fault of the catalogue: its code, its exit code, one clear error, and nothing written or changed."""

from pathlib import Path

import pytest

from onnxprune.errors import VerificationError
from onnxprune.measurement import runtime
from onnxprune.onnx_file import saving
from tests.cli.conftest import Cli, contents
from tests.cli.faults import FAULTS, Fault
from tests.measurement.test_providers import install

LONGEST_LINE = 240  # of an error, with the path of a test's folder in it


@pytest.mark.usefixtures("model", "samples")
@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_a_fault_is_told_in_one_error_and_leaves_no_trace(fault: Fault, cli: Cli, tmp_path: Path) -> None:
    words = fault.words(tmp_path)
    before = contents(tmp_path)
    ran = cli(*words)
    assert (ran.error_code, ran.code) == (fault.code, fault.exit_code), ran.err
    told = ran.err + ran.out
    assert [part for part in fault.says if part.replace("{}", str(tmp_path)) not in told] == [], told
    assert max(map(len, ran.err.splitlines())) < LONGEST_LINE, ran.err
    assert contents(tmp_path) == before


def test_every_row_that_a_command_can_meet_is_here() -> None:
    codes = {fault.code for fault in FAULTS.values()}
    last = {2: 6, 3: 9, 4: 3, 5: 4}
    wanted = {f"E{code}{n:02}" for code, count in last.items() for n in range(1, count + 1)}
    assert codes >= wanted | {"E506", "E601", "E701", "E901"}


def test_a_failed_verification_writes_nothing(
    cli: Cli, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch)
    before = contents(tmp_path)
    ran = cli("prune", model, "-o", tmp_path / "out.onnx", "--target", "macs=70%")
    assert (ran.error_code, ran.code) == ("E801", VerificationError.exit_code)
    assert "kept weights" in ran.err
    assert contents(tmp_path) == before


def test_a_failed_verification_spares_the_file_that_force_would_replace(
    cli: Cli, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch)
    (tmp_path / "out.onnx").write_bytes(b"last week's model")
    before = contents(tmp_path)
    ran = cli("prune", model, "-o", tmp_path / "out.onnx", "--target", "macs=70%", "--force")
    assert ran.code == VerificationError.exit_code
    assert contents(tmp_path) == before


def test_two_onnx_runtimes_are_told_with_the_way_out(
    cli: Cli, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    install(tmp_path / "site", "onnxruntime", "1.31.1")
    install(tmp_path / "site", "onnxruntime-gpu", "1.31.1")
    monkeypatch.syspath_prepend(tmp_path / "site")
    ran = cli("doctor", model)
    assert (ran.error_code, ran.code) == ("E602", 6)
    assert "uninstall both, install one" in ran.err


def test_a_missing_onnx_runtime_is_told_with_the_line_that_installs_it(
    cli: Cli, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = runtime.importlib.import_module

    def not_there(name: str) -> object:
        if name == "onnxruntime":
            raise ModuleNotFoundError(f"No module named {name!r}")
        return imported(name)

    runtime.load_runtime.cache_clear()
    monkeypatch.setattr(runtime.importlib, "import_module", not_there)
    ran = cli("doctor")
    runtime.load_runtime.cache_clear()
    assert (ran.error_code, ran.code) == ("E603", 6)
    assert "pip install onnxruntime" in ran.err


def test_a_full_disk_is_told_before_anything_is_written(
    cli: Cli, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = saving.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(saving.shutil, "disk_usage", lambda _: usage._replace(free=100))
    before = contents(tmp_path)
    ran = cli("prune", model, "-o", tmp_path / "out.onnx", "--target", "macs=70%")
    assert (ran.error_code, ran.code) == ("E605", 6)
    assert contents(tmp_path) == before


def test_running_out_of_memory_is_told(cli: Cli, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("onnxprune.cli.inspect_command.load_graph", too_much)
    ran = cli("inspect", model)
    assert (ran.error_code, ran.code) == ("E605", 6)


def test_an_error_of_ours_asks_for_a_report(cli: Cli, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("a fault of ours")

    monkeypatch.setattr("onnxprune.cli.inspect_command.load_graph", broken)
    ran = cli("inspect", model)
    assert (ran.error_code, ran.code) == ("E101", 1)
    assert "--debug" in ran.err


def test_debug_shows_the_traceback(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from onnxprune.cli.main import run

    assert run(["inspect", str(model.with_name("nope.onnx")), "--debug"]) == 3
    assert "Traceback" in capsys.readouterr().err


def spoil(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pruning change a weight that it should keep."""
    from onnxprune import pipeline

    prune = pipeline.prune

    def spoiled(*arguments: object) -> object:
        made = prune(*arguments)
        tensor = next(t for t in made.graph.initializer if t.name == "conv2_w")
        values = bytearray(tensor.raw_data)
        values[3] ^= 64
        tensor.raw_data = bytes(values)
        return made

    monkeypatch.setattr(pipeline, "prune", spoiled)
