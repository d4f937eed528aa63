"""`onnxprune search`: one command, one folder, one table, and masks that `prune` takes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from onnxprune.cli.search_report import progress_text
from onnxprune.search import Progress
from tests.cli.conftest import Cli

ROOT = Path(__file__).parents[2]
QUICK = ("--target", "macs=60%", "--align", "1", "--agent", "annealing", "--evaluations", "8", "--batch", "2")
SIGNALLED = """
import os, signal, sys
import onnxprune.search.journal as journal
number, real, calls = int(sys.argv.pop(1)), journal.Journal.pend, []
def pend(*words):
    calls.append(1)
    if len(calls) == 4:
        os.kill(os.getpid(), number)
    return real(*words)
journal.Journal.pend = pend
from onnxprune.cli.main import main
main()
"""
FAILING = """
calls = []
def late(outputs, labels=None, reference=None):
    calls.append(1)
    if len(calls) > 3:
        raise ValueError("the server is gone")
    return 0.5
"""


def test_one_command_gives_masks_that_prune_takes(
    cli: Cli, model: Path, samples: Path, tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "a"
    ran = cli("search", model, "-o", run, "--data", samples, *QUICK)
    assert ran.code == 0, ran.err
    for word in ("original", "best", "target macs=60%: met", "best of 8 evaluations", "onnxprune prune"):
        assert word in ran.out
    assert "[baseline] top1" in ran.err
    assert "[calibration]" in ran.err
    line = next(line.strip() for line in ran.out.splitlines() if line.strip().startswith("onnxprune prune"))
    made = cli(*line.split()[1:])
    assert made.code == 0, made.err
    assert (run / "pruned.onnx").is_file()
    assert cli("verify", model, run / "pruned.onnx", "--masks", run / "masks.json", "--retrained").code == 0


def test_the_json_document_is_what_lies_in_the_folder(
    cli: Cli, model: Path, samples: Path, tmp_path: Path
) -> None:
    ran = cli("search", model, "-o", tmp_path / "a", "--data", samples, *QUICK, "--json", "-", "-q")
    document = json.loads(ran.out)
    assert document["status"] == "done"
    assert document["command"] == "search"
    written = json.loads((tmp_path / "a" / "search.json").read_text())
    assert written.items() <= {**document, "warnings": []}.items()


def test_resuming_a_finished_search_tells_the_same_again(
    cli: Cli, model: Path, samples: Path, tmp_path: Path
) -> None:
    first = cli("search", model, "-o", tmp_path / "a", "--data", samples, *QUICK)
    again = cli("search", "--resume", tmp_path / "a")
    assert (again.code, again.out) == (0, first.out), again.err
    refused = cli("search", "--resume", tmp_path / "a", "--seed", "3")
    assert (refused.code, refused.error_code) == (2, "E208")
    forced = cli("search", "--resume", tmp_path / "a", "--force")
    assert (forced.code, forced.error_code) == (2, "E201")
    assert "--force begins one anew" in forced.err


def test_masks_of_another_model_are_refused(cli: Cli, model: Path, samples: Path, tmp_path: Path) -> None:
    cli("search", model, "-o", tmp_path / "a", "--data", samples, *QUICK)
    import onnx

    other = onnx.load(model)
    other.doc_string = "another"
    onnx.save(other, tmp_path / "other.onnx")
    ran = cli(
        "prune", tmp_path / "other.onnx", "--masks", tmp_path / "a" / "masks.json", "-o", tmp_path / "o.onnx"
    )
    assert (ran.code, ran.error_code) == (2, "E206")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143)])
def test_a_signal_saves_and_the_search_goes_on(
    number: int, code: int, cli: Cli, model: Path, samples: Path, tmp_path: Path
) -> None:
    run = tmp_path / "a"
    words = ["search", str(model), "-o", str(run), "--data", str(samples), *QUICK]
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED, str(number), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert f"saved; continue with: onnxprune search --resume {run}" in done.stderr
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    ran = cli("search", "--resume", run)
    assert ran.code == 0, ran.err
    whole = cli("search", model, "-o", tmp_path / "b", *words[4:])
    assert whole.code == 0, whole.err
    episodes = "search/episodes.jsonl"
    assert (run / episodes).read_bytes() == (tmp_path / "b" / episodes).read_bytes()


def test_an_interruption_tells_where_the_run_lies_that_it_replaces(
    cli: Cli, model: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("search", model, "-o", tmp_path / "a", "--data", samples, *QUICK)
    assert cli(*words).code == 0

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("onnxprune.search.searching.let_go", interrupted)
    ran = cli(*words, "--seed", "3", "--force")
    assert ran.code == 130, ran.err
    kept = tmp_path / "a" / ".replaced"
    assert f"what --force replaces is kept in {kept}" in ran.err
    assert (kept / "search.json").exists()
    monkeypatch.undo()
    assert cli("search", "--resume", tmp_path / "a").code == 0
    assert not kept.exists()


def test_a_metric_that_fails_three_times_stops_the_search(
    cli: Cli, model: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late_metric.py").write_text(FAILING)
    monkeypatch.chdir(tmp_path)
    ran = cli("search", model, "-o", "a", "--data", samples, *QUICK, "--metric", "late_metric:late")
    assert (ran.code, ran.error_code) == (5, "E506"), ran.err
    assert ran.err.count("! W506: episode") == 3
    assert "the server is gone" in ran.err
    assert (tmp_path / "a" / "search" / "checkpoint.npz").exists()


def test_an_unknown_agent_is_told_with_the_nearest(
    cli: Cli, model: Path, samples: Path, tmp_path: Path
) -> None:
    ran = cli(
        "search", model, "-o", tmp_path / "a", "--data", samples, "--target", "macs=60%", "--agent", "randon"
    )
    assert (ran.code, ran.error_code) == (2, "E201")
    assert "did you mean 'random'?" in ran.err


def test_without_torch_it_says_which_extra_to_install(model: Path, samples: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['torch_geometric'] = None\nfrom onnxprune.cli.main import main\nmain()"
    words = ["search", str(model), "-o", str(tmp_path / "a"), "--data", str(samples), "--target", "macs=60%"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 6, done.stderr
    assert "E603" in done.stderr
    assert 'pip install "onnxprune[agents]"' in done.stderr
    assert not (tmp_path / "a").exists()


def test_what_is_missing_is_said(cli: Cli, model: Path, samples: Path) -> None:
    assert "'-o' / '--out'" in cli("search", model, "--data", samples, "--target", "macs=60%").err
    assert "needs a target" in cli("search", model, "--data", samples, "-o", "a").err
    assert "needs data" in cli("search", model, "--target", "macs=60%", "-o", "a").err


def test_agents_are_listed(cli: Cli) -> None:
    ran = cli("search", "--agents")
    assert ran.code == 0
    for name in ("gat-ppo", "random", "cross-entropy"):
        assert name in ran.out
    listed = json.loads(cli("search", "--agents", "--json", "-").out)["agents"]
    needs = {one["name"]: one["needs_torch"] for one in listed}
    assert (needs["random"], needs["gat-ppo"]) == (False, True)


def test_the_line_behind_the_bar_tells_the_best_so_far() -> None:
    progress = Progress(187, 300, 662.0, 400.0, 151, "top1", 0.711, -0.008, {"macs": 0.694}, 0.63)
    assert progress_text(progress) == "· 11:02<06:40 · best 151: MACs 69.4 % · top1 -0.8 · reward +0.63"


@pytest.mark.slow
def test_two_workers_find_what_one_finds(cli: Cli, model: Path, samples: Path, tmp_path: Path) -> None:
    for name, more in (("one", ()), ("two", ("--workers", "2"))):
        ran = cli("search", model, "-o", tmp_path / name, "--data", samples, *QUICK, *more)
        assert ran.code == 0, ran.err
    episodes = "search/episodes.jsonl"
    assert (tmp_path / "one" / episodes).read_bytes() == (tmp_path / "two" / episodes).read_bytes()
