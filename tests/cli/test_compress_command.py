"""`onnxprune compress`: one command, one folder, one table; configuration, resuming, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

ROOT = Path(__file__).parents[2]

QUICK = (
    *("--target", "macs=60%", "--align", "1", "--provider", "cpu", "--duration", "0.02", "--agent", "none"),
    *("--epochs", "2", "--batch", "4", "--precision", "fp32", "--no-compile", "--augment", "none"),
)
KEYS = {
    *("schema", "command", "run", "status", "final", "metric", "rows", "targets", "models", "latency"),
    *("boxes", "sha256", "search", "stages", "warnings"),
}
SIGNALLED = """
import os, signal
import onnxprune.compression.training as training
real = training.epoch_line
def line(row, epochs):
    os.kill(os.getpid(), signal.SIGINT)
    return real(row, epochs)
training.epoch_line = line
from onnxprune.cli.main import main
main()
"""
SEARCHING = ("--agent", "random", "--evaluations", "4", "--search-batch", "2", "--no-distill")
SIGNALLED_IN_THE_SEARCH = """
import os, signal
from onnxprune.search.journal import Journal
real = Journal.pend
def pend(*args):
    os.kill(os.getpid(), signal.SIGINT)
    real(*args)
Journal.pend = pend
from onnxprune.cli.main import main
main()
"""


def test_one_command_gives_a_model_a_table_and_a_report(
    cli: Cli, model: Path, samples: Path, tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "a"
    ran = cli("compress", model, "-o", run, "--data", samples, *QUICK)
    assert ran.code == 0, ran.err
    for word in ("original", "pruned", "reconstructed", "distilled", "target macs=60%: met", "final.onnx"):
        assert word in ran.out
    assert "[distill] ..." in ran.err
    assert cli("verify", model, run / "final.onnx", "--masks", run / "masks.json", "--retrained").code == 0


def test_the_json_document_has_every_part(cli: Cli, model: Path, samples: Path, tmp_path: Path) -> None:
    ran = cli(
        "compress", model, "-o", tmp_path / "a", "--data", samples, *QUICK, "--no-distill", "--json", "-"
    )
    document = json.loads(ran.out)
    assert set(document) == KEYS
    assert document["status"] == "done"
    assert [model["name"] for model in document["models"]] == ["original", "pruned", "reconstructed"]
    for entry in document["models"]:
        for key in ("macs", "params", "bytes", "file_bytes", "search", "test", "latency_ms", "final"):
            assert key in entry
    assert document["boxes"]["distill"]["state"] == "skipped"
    assert document["boxes"]["distill"]["why"] == "not asked for"


def test_a_target_is_come_down_to_in_stages_from_the_command_line_and_from_a_file(
    cli: Cli, model: Path, samples: Path, tmp_path: Path
) -> None:
    run = tmp_path / "a"
    staged = ("--stages", "2", "--stage-epochs", "1", "--teacher", "best", "--json", tmp_path / "a.json")
    ran = cli("compress", model, "-o", run, "--data", samples, *QUICK, *staged)
    assert ran.code == 0, ran.err
    assert "[stages/1/distill] ..." in ran.err
    for words in ("stage 1: ", "stage 2: ", ", taught by original: top1 ", "target macs=60%: met"):
        assert words in ran.out
    told = json.loads((tmp_path / "a.json").read_text())["stages"]
    assert [stage["stage"] for stage in told] == [1, 2]
    assert cli("verify", model, run / "final.onnx", "--masks", run / "masks.json", "--retrained").code == 0
    again = cli("compress", "-o", tmp_path / "b", "--config", run / "config.toml")
    assert (run / "final.onnx").read_bytes() == (tmp_path / "b" / "final.onnx").read_bytes(), again.err


def test_a_configuration_is_read_and_the_command_line_goes_before(
    cli: Cli, model: Path, samples: Path, tmp_path: Path
) -> None:
    config = tmp_path / "run.toml"
    config.write_text(
        f"model = '{model}'\ndata = '{samples}'\ntarget = 'macs=90%'\n[distill]\nenabled = false\n"
        "[search]\nagent = 'none'\n[measure]\nseconds = 0.02\n"
    )
    ran = cli("compress", "-o", tmp_path / "a", "--config", config, "--target", "macs=60%", "--align", "1")
    assert ran.code == 0, ran.err
    assert "target macs=60%: met" in ran.out
    again = cli("compress", "-o", tmp_path / "b", "--config", tmp_path / "a" / "config.toml")
    assert (tmp_path / "a" / "final.onnx").read_bytes() == (tmp_path / "b" / "final.onnx").read_bytes(), (
        again.err
    )


def test_an_unknown_key_is_told_before_any_work(cli: Cli, model: Path, samples: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text("[distill]\nepoch = 3\n")
    ran = cli("compress", model, "-o", tmp_path / "a", "--data", samples, "--config", config)
    assert (ran.error_code, ran.code) == ("E201", 2)
    assert "unknown key 'distill.epoch' in run.toml line 2; did you mean 'distill.epochs'?" in ran.err
    assert not (tmp_path / "a").exists()


def test_resuming_a_finished_run_does_nothing_twice_and_tells_the_result_again(
    cli: Cli, model: Path, samples: Path, tmp_path: Path
) -> None:
    run = tmp_path / "a"
    first = cli("compress", model, "-o", run, "--data", samples, *QUICK, "--no-distill")
    again = cli("compress", "--resume", run)
    assert again.code == 0, again.err
    assert "[prune] done before" in again.err
    assert again.out == first.out


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--seed", "5"), "run was made for seed 0, got 5"),
        (("-o", "elsewhere"), "names another one"),
        (("--force",), "goes on with a run, and --force begins one anew"),
    ],
)
def test_resuming_with_something_else_is_refused(
    given: tuple[str, ...], told: str, cli: Cli, model: Path, samples: Path, tmp_path: Path
) -> None:
    run = tmp_path / "a"
    cli("compress", model, "-o", run, "--data", samples, *QUICK, "--no-distill")
    ran = cli("compress", "--resume", run, *given)
    assert ran.code == 2
    assert told in ran.err


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        (("--data", "random"), "E504", "random"),
        ((), "E201", "needs data"),
        (("--data", "{samples}", "--target", "macs=1%"), "E701", "smallest reachable"),
        (("--data", "{samples}", "--target", "macs=fast"), "E202", "macs=fast"),
        (("--data", "{samples}", "--loss", "best"), "E201", "--loss 'best'"),
        (("--data", "{samples}", "--epochs", "0"), "E201", "--epochs 0"),
        (("--data", "{samples}", "--criterion", "luck"), "E201", "luck"),
        (("--data", "{samples}", "--reconstruct-method", "hope"), "E201", "hope"),
        (("--data", "{samples}", "--metric", "taste"), "E201", "taste"),
    ],
)
def test_what_makes_no_sense_is_told_before_there_is_a_folder(
    given: tuple[str, ...], code: str, told: str, cli: Cli, model: Path, samples: Path, tmp_path: Path
) -> None:
    words = [word.format(samples=samples) for word in given]
    target = () if "--target" in words else ("--target", "macs=60%")
    ran = cli("compress", model, "-o", tmp_path / "a", *target, *words)
    assert ran.error_code == code, ran.err
    assert told in ran.err
    assert not (tmp_path / "a").exists()


def test_without_a_folder_or_a_target_it_says_what_is_missing(cli: Cli, model: Path, samples: Path) -> None:
    assert "'-o' / '--out'" in cli("compress", model, "--data", samples, "--target", "macs=60%").err
    assert "needs a target" in cli("compress", model, "--data", samples, "-o", "a").err


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_in_the_training_is_saved_and_can_be_resumed(
    cli: Cli, model: Path, samples: Path, tmp_path: Path
) -> None:
    run = tmp_path / "a"
    words = ["compress", str(model), "-o", str(run), "--data", str(samples), *QUICK]
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 130, done.stderr
    assert f"onnxprune compress --resume {run}" in done.stderr
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    ran = cli("compress", "--resume", run)
    assert ran.code == 0, ran.err
    assert "distilled" in ran.out


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_in_the_search_is_saved_and_can_be_resumed(
    cli: Cli, model: Path, samples: Path, tmp_path: Path
) -> None:
    run = tmp_path / "a"
    words = ["compress", str(model), "-o", str(run), "--data", str(samples), *QUICK, *SEARCHING]
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED_IN_THE_SEARCH, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 130, done.stderr
    assert f"onnxprune compress --resume {run}" in done.stderr
    assert json.loads((run / "run.json").read_text())["boxes"]["search"]["state"] == "running"
    ran = cli("compress", "--resume", run)
    assert ran.code == 0, ran.err
    assert "channels chosen by random, the best of" in ran.out


def test_an_allocation_alone_leaves_the_search_out(
    cli: Cli, model: Path, samples: Path, tmp_path: Path
) -> None:
    given = ("--agent", "auto", "--allocation", "uniform", "--no-distill")
    ran = cli("compress", model, "-o", tmp_path / "a", "--data", samples, *QUICK, *given)
    assert ran.code == 0, ran.err
    assert "[search] left out" in ran.err
    assert "chosen by" not in ran.out
    both = cli(
        "compress", model, "-o", tmp_path / "b", "--data", samples, *QUICK, *given, "--agent", "random"
    )
    assert (both.error_code, both.code) == ("E201", 2)
    assert "--agent uniform is that allocation as an agent" in both.err


def test_where_torch_is_missing_it_says_so_and_goes_without_on_request(
    model: Path, samples: Path, tmp_path: Path
) -> None:
    run = tmp_path / "a"
    words = ["compress", str(model), "-o", str(run), "--data", str(samples), *QUICK]

    def without_torch(*more: str) -> "subprocess.CompletedProcess[str]":
        code = "import sys; sys.modules['torch'] = None\nfrom onnxprune.cli.main import main\nmain()"
        command = [sys.executable, "-c", code, *words, *more]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    refused = without_torch()
    assert refused.returncode == 6
    assert "E603" in refused.stderr
    assert "--no-distill" in refused.stderr
    assert not run.exists()
    done = without_torch("--no-distill")
    assert done.returncode == 0, done.stderr
    assert (run / "final.onnx").is_file()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--agent", "none", "--reward", "foo"), "--reward is for a search, and there is none: --agent none"),
        (("--agent", "none", "--agent-option", "a=b"), "--agent-option is for a search"),
        (("--agent", "none", "--no-race"), "--no-race is for a search"),
        (
            ("--allocation", "uniform", "--evaluations", "4"),
            "--evaluations is for a search, and there is none",
        ),
        (("--masks", "m.json", "--search-batch", "4"), "--search-batch is for a search, and there is none"),
    ],
)
def test_options_of_a_search_are_refused_where_nothing_is_searched(
    given: tuple[str, ...], told: str, cli: Cli, model: Path, samples: Path, tmp_path: Path
) -> None:
    ran = cli("compress", model, "-o", tmp_path / "a", "--data", samples, "--target", "macs=60%", *given)
    assert (ran.error_code, ran.code) == ("E201", 2)
    assert told in ran.err
    assert not (tmp_path / "a").exists()


def test_a_configuration_may_say_more_of_a_search_than_a_run_without_one_needs(
    cli: Cli, model: Path, samples: Path, tmp_path: Path
) -> None:
    searched = tmp_path / "a"
    words = ("--target", "macs=60%", "--align", "1", "--duration", "0.02", *SEARCHING)
    assert cli("compress", model, "-o", searched, "--data", samples, *words).code == 0
    again = ("compress", "-o", tmp_path / "b", "--config", searched / "config.toml")
    ran = cli(*again, "--agent", "none")
    assert ran.code == 0, ran.err
    ran = cli(*again, "--agent", "none", "--evaluations", "4")
    assert (ran.error_code, ran.code) == ("E201", 2)
