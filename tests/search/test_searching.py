"""A whole search in a folder: what it writes, how it goes on, what it refuses before there is a folder."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest

from onnxprune.agents.controls import Control
from onnxprune.agents.table import AGENTS, AgentKind
from onnxprune.agents.types import Agent, Candidate, Problem
from onnxprune.data import Samples
from onnxprune.errors import (
    DataError,
    OnnxPruneError,
    RuntimeProblem,
    TargetError,
    UnsupportedError,
    UsageError,
)
from onnxprune.evaluation import Pool
from onnxprune.evaluation import Scored as Answer
from onnxprune.groups import find_groups
from onnxprune.masks import Masks, all_true, load_masks, masks_hash
from onnxprune.onnx_file import load_graph
from onnxprune.runs.folder import RunFolder
from onnxprune.search import Listener, options_of, resume, search, start, summary_of
from onnxprune.search.agents import make_agent
from onnxprune.search.inputs import make_inputs, open_all
from onnxprune.search.options import SCHEMA, EvaluateSettings, SearchOptions
from tests.onnx_file.small_models import normal, parsed
from tests.search.conftest import killed, lines, options

posix = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
DEATHS = {
    "in the middle of a batch": (
        "import onnxprune.search.journal as m\n"
        "real, calls = m.Journal.pend, []\n"
        "def pend(*a):\n"
        "    real(*a)\n"
        "    calls.append(1)\n"
        "    if len(calls) == 6: die()\n"
        "m.Journal.pend = pend"
    ),
    "before the second checkpoint": (
        "import onnxprune.search.journal as m\n"
        "real, calls = m.save_state, []\n"
        "def save(*a):\n"
        "    calls.append(1)\n"
        "    return die() if len(calls) == 2 else real(*a)\n"
        "m.save_state = save"
    ),
    "before the result": "import onnxprune.search.searching as m; m.write_result = die",
}


def run_of(options: SearchOptions, folder: Path, listener: Listener | None = None) -> RunFolder:
    run = start(options, folder, ["words"])
    search(run, listener)
    return run


@pytest.fixture
def finished(model: Path, samples: Path, tmp_path: Path) -> RunFolder:
    return run_of(options(model, samples), tmp_path / "whole")


def test_what_masks_leave_explained_is_not_worked_out_for_agents_that_do_not_ask(
    model: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes seconds for each wide reader."""
    monkeypatch.setattr("onnxprune.evaluation.explained.contributions", pytest.fail)
    assert summary_of(run_of(options(model, samples), tmp_path / "run"))


@pytest.mark.parametrize("repair", ["least-squares", "none"])
def test_agents_know_what_masks_leave_explained_where_there_are_sums(
    repair: str, model: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = []

    def made(problem: Problem, asked: SearchOptions) -> Agent:
        problems.append(problem)
        return make_agent(problem, asked)

    monkeypatch.setattr("onnxprune.search.searching.make_agent", made)
    run_of(replace(options(model, samples), evaluate=EvaluateSettings(repair=repair)), tmp_path / "run")
    (problem,) = problems
    assert (problem.explained is None) == (repair == "none")
    if problem.explained is not None:
        shares = problem.explained(np.ones((1, len(problem.order)), bool))
        assert shares.size > 0
        assert shares == pytest.approx(1, abs=1e-3)


def result(run: Path) -> dict[str, Any]:
    """search.json without what depends on time and place."""
    document: dict[str, Any] = json.loads((run / "search.json").read_text())
    del document["history"]["seconds"], document["history"]["scoring_seconds"]
    return {key: value for key, value in document.items() if key not in ("apply", "masks")}


def test_it_leaves_masks_that_meet_the_target_and_all_that_is_needed_to_repeat_them(
    finished: RunFolder, model: Path
) -> None:
    groups = find_groups(load_graph(model))
    masks = load_masks(finished.path / "masks.json", groups)
    assert masks_hash(masks) == masks_hash(load_masks(finished.path / "masks.npz", groups))
    found = summary_of(finished)
    assert found["masks"]["sha256"] == found["best"]["masks"] == masks_hash(masks)
    assert [target["met"] for target in found["targets"]] == [True]
    assert found["history"]["evaluations"] == len(lines(finished.path)) == 12
    assert found["splits"] == {
        "data": found["splits"]["data"],
        "calibration": 48,
        "reward": 12,
        "selection": 12,
    }
    assert found["original"]["reward"] == found["original"]["selection"] == 1.0
    assert finished.record["status"] == "done"
    assert set(found["sha256"]) == {"model", "data", "init_policy"}
    assert SCHEMA.make(SCHEMA.read(finished.path / "config.toml")).agent == "random"
    assert not (finished.path / "search" / "evaluator").exists()


def test_a_finished_search_is_not_done_again_unless_its_result_is_gone(
    finished: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, masks = result(finished.path), finished.path / "masks.json"
    content = masks.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("onnxprune.search.searching.carry_out", None)
        search(resume(finished.path, {}))
    masks.unlink()
    search(resume(finished.path, {}))
    assert (masks.read_bytes(), result(finished.path)) == (content, before)


def test_the_best_is_chosen_by_the_selection_split(finished: RunFolder) -> None:
    finalists = summary_of(finished)["finalists"]
    assert 1 < len(finalists) <= 6
    assert finalists[0]["selection"] == max(one["selection"] for one in finalists)
    assert finalists[0] == summary_of(finished)["best"]


def test_the_same_seed_gives_the_same_search_and_another_one_another(
    finished: RunFolder, model: Path, samples: Path, tmp_path: Path
) -> None:
    again = run_of(options(model, samples), tmp_path / "again")
    assert lines(again.path) == lines(finished.path)
    assert result(again.path) == result(finished.path)
    other = run_of(options(model, samples, seed=1), tmp_path / "other")
    assert lines(other.path) != lines(finished.path)


@posix
@pytest.mark.parametrize("patch", DEATHS.values(), ids=list(DEATHS))
def test_a_search_that_was_killed_ends_as_one_that_was_not(
    patch: str, finished: RunFolder, model: Path, samples: Path, tmp_path: Path
) -> None:
    run = start(options(model, samples), tmp_path / "killed", ["words"])
    killed(run.path, patch)
    assert json.loads((run.path / "run.json").read_text())["status"] == "running"
    search(resume(run.path, {}))
    for name in ("search/episodes.jsonl", "search/updates.jsonl", "masks.json"):
        assert (run.path / name).read_bytes() == (finished.path / name).read_bytes()
    assert result(run.path) == result(finished.path)


def test_the_agent_that_learns_goes_on_bit_for_bit_and_leaves_its_policy(
    model: Path, samples: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch_geometric")
    chosen = options(model, samples, agent="gat-ppo", evaluations=16)
    whole = run_of(chosen, tmp_path / "whole")
    run = start(chosen, tmp_path / "parts", ["words"])
    asked: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        search(run, Listener(stop=lambda: bool(asked.append(1)) or len(asked) == 9))
    search(resume(run.path, {}))
    for name in ("search/episodes.jsonl", "search/updates.jsonl", "masks.json"):
        assert (run.path / name).read_bytes() == (whole.path / name).read_bytes()
    policy = str(whole.path / "policy.pt")
    carried = run_of(options(model, samples, agent="gat-ppo", init_policy=policy), tmp_path / "carried")
    assert lines(carried.path)[-4:] != lines(whole.path)[8:12]


def test_racing_gives_up_some_and_goes_on_bit_for_bit(model: Path, samples: Path, tmp_path: Path) -> None:
    with np.load(samples) as arrays:
        more = {name: np.concatenate([array] * 6) for name, array in arrays.items()}
    np.savez(samples, **more)
    chosen = options(model, samples, evaluations=32)
    whole = run_of(chosen, tmp_path / "whole")
    run = start(chosen, tmp_path / "parts", ["words"])
    asked: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        search(run, Listener(stop=lambda: bool(asked.append(1)) or len(asked) == 27))
    assert run.record["status"] == "interrupted"
    search(resume(run.path, {}))
    assert lines(run.path) == lines(whole.path)
    assert summary_of(whole)["history"]["given_up"] > 0
    for finalist in summary_of(whole)["finalists"]:
        episode = next(line for line in lines(whole.path) if line["number"] == finalist["episode"])
        assert episode["rows"] == summary_of(whole)["splits"]["reward"]


def test_the_test_part_is_never_read(
    model: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnxprune.runs import parts

    asked: list[str | None] = []
    real = parts.open_data

    def opened(*words: Any, **others: Any) -> Samples:
        asked.append(others["options"].part)
        return real(*words, **others)

    monkeypatch.setattr(parts, "open_data", opened)
    run_of(options(model, samples, evaluations=4), tmp_path / "run")
    assert set(asked) == {"fit", "search"}


def test_without_labels_agreement_is_the_accuracy(model: Path, samples: Path, tmp_path: Path) -> None:
    with np.load(samples) as arrays:
        np.savez(tmp_path / "bare.npz", x=arrays["x"])
    run = run_of(options(model, tmp_path / "bare.npz", evaluations=4), tmp_path / "run")
    assert summary_of(run)["metric"] == "agreement"
    assert summary_of(run)["original"]["reward"] == 1.0


def test_a_metric_that_counts_down_is_told_as_it_counts(model: Path, samples: Path, tmp_path: Path) -> None:
    chosen = options(model, samples, evaluate__metric="mse", evaluations=8)
    run = run_of(chosen, tmp_path / "run")
    found = summary_of(run)
    assert found["best"]["reward"] >= 0
    assert found["best"]["selection"] == min(one["selection"] for one in found["finalists"])
    assert all(line["accuracy"] <= 0 for line in lines(run.path))


def two_heads(path: Path) -> Path:
    """x (N, 16) to y by one hidden layer and z by another; nothing is shared."""
    rng = np.random.default_rng(0)
    weights = {"a": (16, 24), "b": (24, 5), "c": (16, 24), "d": (24, 5)}
    model = parsed(
        """<ir_version: 8, opset_import: ["" : 17]>
        two (float[N, 16] x) => (float[N, 5] y, float[N, 5] z) {
            h = MatMul(x, a)  i = Relu(h)  y = MatMul(i, b)
            j = MatMul(x, c)  k = Relu(j)  z = MatMul(k, d)
        }""",
        **{name: normal(rng, *shape) for name, shape in weights.items()},
    )
    onnx.save(model, path)
    np.savez(path.with_suffix(".npz"), x=rng.standard_normal((96, 16)).astype(np.float32))
    return path


def test_all_outputs_are_looked_at_or_those_that_are_not_are_named(tmp_path: Path) -> None:
    path = two_heads(tmp_path / "two.onnx")
    chosen = options(path, path.with_suffix(".npz"), agent="cross-entropy", evaluations=48, batch=8)
    run = run_of(chosen, tmp_path / "all")
    assert summary_of(run)["metric"] == "relative-mse"
    assert summary_of(run)["best"]["reward"] > 0.01, "no cut to the half of two layers is free"
    assert not any("W508" in warning for warning in run.record["warnings"])
    single = replace(chosen, evaluations=2, evaluate=replace(chosen.evaluate, metric="mse"))
    first = run_of(single, tmp_path / "first")
    assert any("W508: mse looks at output y alone, not at z" in w for w in first.record["warnings"])


@pytest.mark.parametrize("split", ["reward", "selection"])
def test_a_sample_that_the_original_fails_on_is_told_before_any_episode(
    split: str, model: Path, samples: Path, tmp_path: Path
) -> None:
    """Not after hours, when the selection split is read: that search would be lost."""
    chosen = options(model, tmp_path / "broken.npz", evaluate__metric="mse")
    with np.load(samples) as arrays:
        x = arrays["x"].copy()
    np.savez(chosen.data, x=x)
    one = next(iter(getattr(make_inputs(chosen, open_all(chosen)), split).batches(1))).inputs["x"]
    x[(x == one).all((1, 2, 3)), 0, 0, 0] = np.nan
    np.savez(chosen.data, x=x)
    run = start(chosen, tmp_path / "run", [])
    with pytest.raises(DataError, match=r"broken\.npz: ") as error:
        search(run)
    assert error.value.code == "E506"
    assert "is NaN" in f"{error.value.message} {error.value.cause}"
    assert not (run.path / "search" / "episodes.jsonl").exists()


def test_an_agent_that_ran_out_of_masks_is_done(model: Path, samples: Path, tmp_path: Path) -> None:
    run = run_of(options(model, samples, agent="uniform"), tmp_path / "run")
    notes: list[str] = []
    search(resume(run.path, {}), Listener(note=notes.append))
    assert notes == ["all evaluations were done before"]


def test_the_full_repair_may_judge_at_the_end(
    finished: RunFolder, model: Path, samples: Path, tmp_path: Path
) -> None:
    chosen = options(model, samples, evaluate__reconstruct_final=True, evaluate__metric="mse")
    run = run_of(chosen, tmp_path / "full")
    light = run_of(options(model, samples, evaluate__metric="mse"), tmp_path / "light")
    assert lines(run.path) == lines(light.path)
    assert summary_of(run)["best"]["selection"] != summary_of(light)["best"]["selection"]


class Whole(Control):
    """Never prunes anything."""

    def proposals(self) -> Iterator[Candidate]:
        yield Candidate(all_true(self.problem.groups), "all of it")


def test_where_no_candidate_meets_the_target_the_nearest_is_written_and_the_exit_code_says_so(
    model: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = AgentKind("whole", lambda problem, _options: Whole(problem), "for tests")
    monkeypatch.setitem(AGENTS, "whole", kind)
    run = start(options(model, samples, agent="whole"), tmp_path / "run", [])
    with pytest.raises(TargetError, match="no candidate met") as error:
        search(run)
    assert (error.value.code, error.value.exit_code) == ("E702", 7)
    assert [target["met"] for target in summary_of(run)["targets"]] == [False]
    assert lines(run.path)[0]["violation"] == pytest.approx(1.0, rel=1e-4)
    assert (run.path / "masks.json").is_file()


def test_an_infeasible_target_is_told_before_there_is_a_folder(
    model: Path, samples: Path, tmp_path: Path
) -> None:
    with pytest.raises(TargetError, match="smallest reachable is") as error:
        start(options(model, samples, target=("macs=1%",)), tmp_path / "run", [])
    assert error.value.code == "E701"
    assert not (tmp_path / "run").exists()


def test_a_model_with_nothing_to_prune_is_told(samples: Path, tmp_path: Path) -> None:
    path = tmp_path / "flat.onnx"
    weight = np.ones((192, 5), np.float32)
    text = """<ir_version: 8, opset_import: ["" : 17]>
        flat (float[N, 3, 8, 8] x) => (float[N, 5] y) { f = Flatten(x) y = MatMul(f, w) }"""
    onnx.save(parsed(text, w=weight), path)
    with pytest.raises(UnsupportedError) as error:
        start(options(path, samples), tmp_path / "run", [])
    assert error.value.code == "E402"


@pytest.mark.parametrize("form", ["file", "function"])
def test_samples_that_are_too_few_are_told_with_their_numbers(form: str, model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "few.npz", x=np.zeros((2, 3, 8, 8), np.float32))
    (tmp_path / "few.py").write_text(
        "import numpy as np\n"
        "def rows():\n"
        "    for _ in range(2):\n"
        "        yield {'x': np.zeros((3, 8, 8), np.float32)}\n"
    )
    data = tmp_path / "few.npz" if form == "file" else Path(f"{tmp_path / 'few.py'}:rows")
    with pytest.raises(
        DataError, match=r"few.* has too few rows: \d for fit, \d for reward, \d for selection; each wants"
    ) as error:
        start(options(model, data), tmp_path / "run", [])
    assert error.value.code == "E504"
    assert not (tmp_path / "run").exists()


REFUSED = {
    "an agent": ({"agent": "cross-entrpy"}, "E201", "unknown --agent 'cross-entrpy'"),
    "a prior": ({"prior": "luck"}, "E201", "unknown --prior"),
    "a repair": ({"evaluate__repair": "hope"}, "E201", "unknown --repair"),
    "a device": ({"channels__device": "CPUU"}, "E201", "--device CPUU: .*did you mean cpu"),
    "a metric": ({"evaluate__metric": "taste"}, "E201", "taste"),
    "a budget": ({"budget": "20"}, "E202", "--budget 20"),
    "no evaluations": ({"evaluations": 0}, "E201", "--evaluations 0"),
    "no rows": ({"evaluate__reward_rows": 0}, "E201", "--reward-rows 0"),
    "an option of no agent": ({"agent_option": ("size=3",)}, "E201", "unknown option 'size'"),
    "an option without a value": ({"agent_option": ("size",)}, "E201", "want KEY=VALUE"),
    "a reward where none is learned from": (
        {"reward": "r2"},
        "E201",
        "--reward r2: agent random has no rewards to choose from\n.*an --agent that has: gat-ppo, amc, agmc",
    ),
    "a reward of another agent": ({"agent": "rl-pruner", "reward": "r2"}, "E201", "unknown --reward 'r2'"),
    "a policy that is not there": ({"agent": "agmc", "init_policy": "p.npz"}, "E201", "no such file"),
    "an encoder that is not there": (
        {"agent": "amc", "freeze_encoder": True},
        "E201",
        "--freeze-encoder: agent amc cannot begin",
    ),
    "a random encoder that does not learn": (
        {"agent": "agmc", "freeze_encoder": True},
        "E201",
        "--freeze-encoder: without a policy.*\n.*--init-policy FILE",
    ),
    "a policy as an option of the agent": (
        {"agent": "gat-ppo", "agent_option": ("init-policy=p.pt",)},
        "E201",
        "--agent-option init-policy=p.pt: it has an option of its own\n.*--init-policy FILE",
    ),
    "a frozen encoder as an option of the agent": (
        {"agent": "agmc", "agent_option": ("freeze_encoder=yes",)},
        "E201",
        "it has an option of its own\n.*--freeze-encoder",
    ),
    "an option of the agent twice": (
        {"agent": "evolution", "agent_option": ("share=0.1", "share=0.2")},
        "E201",
        "--agent-option share is given twice: 0.1 and 0.2",
    ),
    "two rewards": (
        {"agent": "gat-ppo", "reward": "r2", "agent_option": ("reward=record",)},
        "E201",
        "--reward r2, but --agent-option reward=record",
    ),
    "two variants": (
        {"agent": "amc", "variant": "paper", "agent_option": ("variant=fixed",)},
        "E201",
        "--variant paper, but",
    ),
    "random samples": ({"data": "random"}, "E504", "random"),
}


@pytest.mark.parametrize(("given", "code", "told"), REFUSED.values(), ids=list(REFUSED))
def test_what_makes_no_sense_is_told_before_there_is_a_folder(
    given: dict[str, Any], code: str, told: str, model: Path, samples: Path, tmp_path: Path
) -> None:
    with pytest.raises(OnnxPruneError, match=told) as error:
        start(options(model, samples, **given), tmp_path / "run", [])
    assert error.value.code == code
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"evaluations": "4"}, "evaluations is '4', want a whole number"),
        ({"evaluations": 4.5}, "evaluations is 4.5, want a whole number"),
        ({"seed": None}, "seed is None, want a whole number"),
        ({"seed": 1.5}, "seed is 1.5, want a whole number"),
        ({"budget": 60}, "budget is 60, want a text"),
        ({"agent": None}, "agent is None, want a text"),
        ({"agent_option": {"share": 0.5}}, "agent_option is {'share': 0.5}, want a list of texts"),
        ({"channels": None}, r"channels is None, want ChannelSettings\(...\)"),
        ({"evaluate": EvaluateSettings(race="no")}, "evaluate.race is 'no', want true or false"),  # type: ignore[arg-type]
    ],
)
def test_options_made_in_python_are_of_the_types_that_a_file_must_have(
    given: dict[str, Any], told: str, model: Path, samples: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"SearchOptions: {told}") as error:
        start(replace(options(model, samples), **given), tmp_path / "run", [])
    assert error.value.code == "E201"
    assert not (tmp_path / "run").exists()


def test_paths_may_be_texts_or_paths_and_one_target_a_text(
    model: Path, samples: Path, tmp_path: Path
) -> None:
    asked = SearchOptions(model, samples, "macs=50%", agent="random", evaluations=4)  # type: ignore[arg-type]
    run = start(asked, str(tmp_path / "run"), [])  # type: ignore[arg-type]
    assert (options_of(run).model, options_of(run).target) == (str(model), ("macs=50%",))
    search(resume(str(tmp_path / "run"), {}))  # type: ignore[arg-type]
    assert load_masks(str(tmp_path / "run" / "masks.json"), find_groups(load_graph(str(model))))
    with pytest.raises(UsageError, match=r"E202.*needs a target"):
        start(replace(asked, target=()), tmp_path / "other", [])


@pytest.mark.parametrize("agent", ["gat-ppo", "agmc"])
def test_a_policy_that_cannot_be_used_is_told_before_there_is_a_folder(
    agent: str, model: Path, samples: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch_geometric")
    (tmp_path / "policy.pt").write_bytes(b"no policy")
    asked = options(model, samples, agent=agent, init_policy=str(tmp_path / "policy.pt"))
    with pytest.raises(UsageError, match="cannot be read") as error:
        start(asked, tmp_path / "run", [])
    assert error.value.cause == ""
    assert not (tmp_path / "run").exists()


def test_a_run_leaves_its_cluster_where_it_is_told_to(model: Path, samples: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    run = start(options(model, samples, scheduler="tcp://127.0.0.1:1"), tmp_path / "run", [])
    again = resume(run.path, {"scheduler": "none", "workers": 0})
    search(again)
    assert summary_of(again)["status"] == "done"


def test_figures_go_to_tensorboard_where_asked_for(
    model: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int]] = []

    class SummaryWriter:
        def __init__(self, folder: str) -> None:
            assert folder.endswith("tb")

        def add_scalar(self, name: str, _value: float, step: int) -> None:
            seen.append((name, step))

        def flush(self) -> None:
            return

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    run_of(options(model, samples, tensorboard=True), tmp_path / "run")
    assert [step for name, step in seen if name == "best"] == [4, 8, 12]


def test_without_tensorboard_it_is_told_before_there_is_a_folder(
    model: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(RuntimeProblem, match="tensorboard is not installed"):
        start(options(model, samples, tensorboard=True), tmp_path / "run", [])
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_begun_over_what_it_reads(finished: RunFolder, model: Path, tmp_path: Path) -> None:
    inside = finished.path / "masks.npz"
    with pytest.raises(UsageError, match="which --force removes"):
        start(options(model, inside), finished.path, [], force=True)
    with pytest.raises(UsageError, match="holds a run") as error:
        start(options(model, inside), finished.path, [])
    assert "onnxprune search --resume" in error.value.hint
    assert tmp_path in inside.parents


def test_another_model_other_samples_and_other_options_are_refused(
    finished: RunFolder, model: Path, samples: Path
) -> None:
    with pytest.raises(UsageError, match="run was made for batch 4, got 8"):
        resume(finished.path, {"batch": 8})
    with np.load(samples) as arrays:
        np.savez(samples, **{**arrays, "x": arrays["x"] + 1})
    with pytest.raises(UsageError, match="run was made for data with sha256"):
        search(resume(finished.path, {}))
    changed = onnx.load(model)
    changed.doc_string = "another"
    onnx.save(changed, model)
    with pytest.raises(UsageError, match="run was made for model with sha256"):
        search(resume(finished.path, {}))


def test_the_budget_may_change_and_decides_how_far_it_comes(
    finished: RunFolder, model: Path, samples: Path, tmp_path: Path
) -> None:
    run = start(options(model, samples, budget="1h"), tmp_path / "run", [])
    asked: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        search(run, Listener(stop=lambda: bool(asked.append(1)) or len(asked) == 6))
    search(resume(run.path, {"budget": "0.001s"}))
    assert summary_of(run)["history"]["evaluations"] == 4
    search(resume(run.path, {"budget": "1h"}))
    assert lines(run.path) == lines(finished.path)


def test_a_budget_that_is_spent_at_once_still_gives_the_best_of_one_batch(
    model: Path, samples: Path, tmp_path: Path
) -> None:
    run = run_of(options(model, samples, budget="0.000001s"), tmp_path / "run")
    assert run.record["status"] == "done"
    found = summary_of(run)
    assert found["history"]["evaluations"] == len(lines(run.path)) == 4
    assert [target["met"] for target in found["targets"]] == [True]


def test_a_search_that_scored_nothing_is_an_error(
    model: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Pool.score

    def score(pool: Pool, masks: Sequence[Masks], **others: Any) -> Iterator[Answer]:
        """Of the original alone."""
        for one, found in zip(masks, real(pool, masks, **others), strict=True):
            whole = all(bits.all() for bits in one.values())
            yield found if whole else replace(found, evaluation=None, error="gone")

    monkeypatch.setattr(Pool, "score", score)
    run = start(options(model, samples, agent="uniform"), tmp_path / "run", [])
    with pytest.raises(DataError, match="no candidate could be scored") as error:
        search(run)
    assert error.value.code == "E506"
    assert run.record["status"] == "failed"


def test_a_folder_of_another_command_is_told(finished: RunFolder) -> None:
    finished.update(command="compress")
    with pytest.raises(UsageError, match="holds a run of compress") as error:
        resume(finished.path, {})
    assert "onnxprune compress --resume" in error.value.hint
