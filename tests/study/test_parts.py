"""The parts of a study by themselves: who is trained, means, tables, the picture, the file."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from math import nan, sqrt
from pathlib import Path

import pytest

from onnxprune.errors import TargetError, UsageError
from onnxprune.search.agents import agent_options
from onnxprune.study import start, working
from onnxprune.study.agent_text import pairs
from onnxprune.study.cells import CONTROL, MODELS, Cell, Row, cells_of, policies_of
from onnxprune.study.options import SCHEMA, StudyOptions, read_study
from onnxprune.study.picture import HEIGHT, WIDTH, Curve, Panel, curves, ticks
from onnxprune.study.records import Judged, Record, Spread, by_row, chosen_agents
from onnxprune.study.tables import csv_text, figure, rows_of_model
from onnxprune.study.working import FAILED, MISSED, Ear, Job, work

ACCURACY = Judged("top1", 1, "top1")


def record(agent: str, seed: int, selection: float | None, **others: object) -> Record:
    state = "failed" if selection is None else "done"
    return Record("net", "macs=50%", agent, seed, state, selection=selection, **others)  # type: ignore[arg-type]


def options(**others: object) -> StudyOptions:
    given = {"models": ("net.onnx",), "agents": ("a", "b", "c"), "targets": ("macs=50%",), "data": "x.npz"}
    return SCHEMA.make({**given, "distill.enabled": True, "distill.top": 2, **others})


def test_the_best_means_are_trained_and_the_control_takes_no_place() -> None:
    found = [
        *(record("a", seed, value) for seed, value in enumerate((0.9, 0.5))),
        *(record("b", seed, value) for seed, value in enumerate((0.8, 0.8))),
        *(record("c", seed, value) for seed, value in enumerate((0.75, 0.75))),
        *(record(CONTROL, seed, 0.99) for seed in (0, 1)),
    ]
    chosen = {agent for _, _, agent in chosen_agents(found, options(), 1)}
    assert chosen == {"b", "c", CONTROL}
    lower = {agent for _, _, agent in chosen_agents(found, options(), -1)}
    assert lower == {"a", "c", CONTROL}
    assert chosen_agents(found, options(**{"distill.enabled": False}), 1) == set()


def test_an_agent_that_failed_from_some_seeds_comes_after_those_that_did_not() -> None:
    found = [record("a", 0, 0.99), record("a", 1, None), record("b", 0, 0.5), record("b", 1, 0.5)]
    chosen = chosen_agents(found, options(**{"distill.top": 1}), 1)
    assert {agent for _, _, agent in chosen} == {"b"}
    assert [agent for _, _, agent in by_row(found, 1)] == ["b", "a"]


def test_of_equal_means_those_are_trained_that_stand_first() -> None:
    found = [record("z", 0, 0.5), record("a", 0, 0.5), record("b", 0, 0.4)]
    (chosen,) = chosen_agents(found, options(**{"distill.top": 1}), 1)
    assert chosen == next(iter(by_row(found, 1)))


def test_a_policy_lies_beside_the_file_and_is_told_from_other_options(tmp_path: Path) -> None:
    (tmp_path / "p.pt").write_bytes(b"x")
    path = tmp_path / "study.toml"
    path.write_text(
        'agents = ["agmc:stages=2,init_policy=p.pt"]\nmodels = ["n"]\ntargets = ["macs=50%"]\ndata = "d"\n'
    )
    made = SCHEMA.make(read_study(path))
    asked = Cell(Row("net.onnx", "macs=50%", made.agents[0]), 0).search(made)
    assert (asked.init_policy, asked.agent_option) == (str(tmp_path / "p.pt"), ("stages=2",))
    assert policies_of(made) == {made.agents[0]: str(tmp_path / "p.pt")}


def test_a_study_made_in_python_has_values_of_the_types_that_a_file_must_have(tmp_path: Path) -> None:
    for given, told in (
        ({"seeds": "3"}, "seeds is '3', want a whole number"),
        ({"distill": None}, "TrainSet"),
    ):
        with pytest.raises(UsageError, match=f"StudyOptions: .*{told}"):
            start(replace(options(), **given), str(tmp_path / "run"), [])


@pytest.mark.parametrize(
    ("text", "frozen"),
    [("init-policy=p.pt,freeze_encoder=yes", True), ("freeze-encoder=no,init_policy=p.pt", False)],
)
def test_the_encoder_of_a_policy_may_stay_as_it_is(text: str, frozen: bool) -> None:
    asked = Cell(Row("net.onnx", "macs=50%", f"agmc:{text},stages=2"), 0).search(options())
    assert (asked.init_policy, asked.freeze_encoder, asked.agent_option) == ("p.pt", frozen, ("stages=2",))
    agent_options(asked)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("init_policy=a.pt,init-policy=b.pt", "init_policy is given twice"),
        ("init_policy=a.pt,freeze_encoder=perhaps", "freeze_encoder is 'perhaps', want yes or no"),
    ],
)
def test_what_an_agent_begins_with_is_told_once_and_plainly(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=f"agent agmc:{text}: {told}"):
        Cell(Row("net.onnx", "macs=50%", f"agmc:{text}"), 0).search(options())


@pytest.mark.parametrize(
    ("code", "state"), [("E701", MISSED), ("E702", MISSED), ("E703", FAILED), ("E506", FAILED)]
)
def test_a_training_that_diverges_has_failed_and_not_missed(
    code: str, state: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def diverge(_job: Job, _ear: Ear) -> None:
        raise TargetError(code, "it ended so")

    monkeypatch.setattr(working, "make_model", diverge)
    job = Job(MODELS, Cell(Row("net.onnx", "macs=50%", "a"), 0), options(), tmp_path)
    assert work(job).state == state


def test_a_spread_has_the_deviation_of_a_sample() -> None:
    spread = Spread.of([1.0, 2.0, 4.0, None])
    assert spread is not None
    assert (spread.count, spread.mean) == (3, pytest.approx(7 / 3))
    assert spread.deviation == pytest.approx(sqrt(7 / 3))
    assert Spread.of([None]) is None


def test_figures_are_told_with_what_is_known_of_them() -> None:
    assert figure(Spread(3, 0.91234, 0.004), "top1") == "91.23 ± 0.40 %"
    assert figure(Spread(1, 0.91234, 0.0), "top1") == "91.23 %"  # one seed has no deviation
    assert figure(Spread(2, 0.00123456, 0.0001), "mse") == "0.001235 ± 0.0001"
    assert figure(None, "top1") == "-"


def test_tables_are_ordered_by_the_selection_split_and_never_by_the_test() -> None:
    found = [
        record("a", 0, 0.7, repaired=0.9, evaluations=8),
        record("b", 0, 0.8, repaired=0.1, evaluations=8),
        record("c", 0, None),
    ]
    assert [row[1] for row in rows_of_model(found, "net", ACCURACY)] == ["b", "a", "c"]
    assert [agent for _, _, agent in by_row(found, -1)] == ["a", "b", "c"]
    assert rows_of_model(found, "net", ACCURACY)[2][2] == "0 of 1"


def test_a_csv_has_a_line_for_each_search_and_empty_fields_where_nothing_is_known() -> None:
    header, line = csv_text([record("a", 3, 0.5)]).splitlines()
    fields = dict(zip(header.split(","), line.split(","), strict=True))
    assert (fields["agent"], fields["seed"], fields["selection"], fields["trained"]) == ("a", "3", "0.5", "")


def test_all_agents_of_a_seed_are_asked_for_the_same() -> None:
    asked = [cell.search(options()) for cell in cells_of(options()) if cell.seed == 1]
    assert len({one.agent for one in asked}) == 4
    assert len({(one.evaluations, one.seed, one.data, one.holdout, one.evaluate) for one in asked}) == 1


def test_options_of_agents_are_read_from_their_names() -> None:
    assert list(pairs("criteria=l1,l2,allocations=uniform")) == ["criteria=l1,l2", "allocations=uniform"]
    assert list(pairs("")) == []
    asked = Cell(Row("net.onnx", "macs=50% params=60%", "gat-ppo:clip=0.1"), 2).search(options())
    assert (asked.agent, asked.agent_option, asked.target) == (
        "gat-ppo",
        ("clip=0.1",),
        ("macs=50%", "params=60%"),
    )


def places(picture: str) -> list[tuple[float, float]]:
    lines = [element.get("points", "") for element in ET.fromstring(picture).iter()]
    return [tuple(map(float, place.split(","))) for line in lines for place in line.split()]  # type: ignore[misc]


def test_a_picture_stays_inside_its_frame_and_skips_what_is_not_known() -> None:
    line = Curve("a <b>", [nan, 50.0, 60.0, 70.0, 71.0, 71.0], [0.0, 1.0, 20.0, 3.0, 0.5, 0.5])
    alone = Curve("once", [40.0], [0.0])
    picture = curves("net & co", [Panel("macs=50%", [line, alone]), Panel("empty", [])], label="top1, %")
    found = places(picture)
    assert found
    assert all(0 <= x <= 2 * WIDTH and 0 <= y <= HEIGHT for x, y in found)
    assert "a &lt;b&gt;" in picture
    assert picture == curves(
        "net & co", [Panel("macs=50%", [line, alone]), Panel("empty", [])], label="top1, %"
    )


def test_a_higher_figure_is_drawn_higher() -> None:
    low, high = Curve("low", [1.0] * 8, [0.0] * 8), Curve("high", [2.0] * 8, [0.0] * 8)
    picture = curves("net", [Panel("macs=50%", [low, high])], label="x")
    heights = {y for _, y in places(picture)}
    assert len(heights) == 2
    first = float(picture.split('<polyline points="')[1].split(" ")[0].split(",")[1])
    assert first == max(heights)  # y grows downwards


def test_no_two_lines_of_a_picture_look_alike() -> None:
    lines = [Curve(f"agent {number}", [number * 1.0] * 8, [0.0] * 8) for number in range(20)]
    drawn = [
        (element.get("stroke"), element.get("stroke-dasharray"))
        for element in ET.fromstring(curves("net", [Panel("macs=50%", lines)], label="x")).iter()
        if element.tag.endswith("polyline")
    ]
    assert len(drawn) == len(set(drawn)) == 20


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (88.2, 91.7), (-3e-4, 2e-4), (10.0, 90.0)])
def test_ticks_are_round_and_between(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 2 <= len(found) <= 7
    assert all(low - 1e-12 <= value <= high + 1e-12 for value in found)


def test_a_file_gives_values_and_a_section_asks_for_training(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"x")
    text = 'agents = ["a"]\nmodels = ["net.onnx"]\ntargets = ["macs=50%"]\ndata = "pkg.mod:f"\n'
    path = tmp_path / "study.toml"
    path.write_text(text)
    plain = SCHEMA.make(read_study(path))
    assert plain.models == (str(tmp_path / "net.onnx"),)  # beside the file
    assert plain.data == "pkg.mod:f"
    assert not plain.distill.enabled
    path.write_text(text + "[distill]\nepochs = 3\n")
    trained = SCHEMA.make(read_study(path))
    assert (trained.distill.enabled, trained.distill.epochs, trained.distill.lr) == (True, 3, 0.01)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agnets = 3", "unknown key 'agnets' in study.toml line 1; did you mean 'agents'?"),
        ("seed = 0\nseeds = [0, 1]", "study.toml line 2: seeds is [0, 1], want a whole number"),
        ("[distil]\nepochs = 3", "unknown key 'distil.epochs' in study.toml line 2"),
        ("agents = [", "is no TOML file that can be read"),
    ],
)
def test_a_bad_file_is_one_clear_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_study(path)
    assert caught.value.code == "E201"
    assert message in str(caught.value)
    assert "\n" not in caught.value.message


def test_what_must_be_given_is_asked_for() -> None:
    with pytest.raises(UsageError, match="study needs agents") as caught:
        SCHEMA.make({"models": ("net.onnx",)})
    assert "gat-ppo" in caught.value.hint
