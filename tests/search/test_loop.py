"""The loop: so many evaluations, none twice, failures told, and a stop at any moment that changes nothing."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onnxprune.agents.types import Agent, Candidate, Figures, Outcome, Problem, State
from onnxprune.errors import DataError, UsageError
from onnxprune.search import Listener, Progress
from onnxprune.search.history import Scored, unpack
from onnxprune.search.journal import EPISODES
from tests.search.conftest import ROWS, FakeScore, lines, make_loop, problem_of


class Stubborn(Agent):
    """Always the same masks."""

    def ask(self, count: int) -> list[Candidate]:
        return [Candidate(self.problem.project(self.problem.scores("group-l2")), "again")] * count

    def tell(self, candidates: Sequence[Candidate], outcomes: Sequence[Outcome]) -> Figures:
        assert len(candidates) == len(outcomes)
        return {"reward": float("nan")}

    def state(self) -> State:
        return {}

    def restore(self, state: State) -> None:
        assert state == {}


def test_it_ends_after_exactly_so_many_evaluations(problem: Problem, tmp_path: Path) -> None:
    told: list[Progress] = []
    loop = make_loop(problem, tmp_path, listener=Listener(step=told.append))
    loop.run()
    found = lines(tmp_path)
    assert [line["number"] for line in found] == list(range(1, len(found) + 1))
    assert len(found) == problem.evaluations == told[-1].done
    assert max(line["update"] for line in found) == 5
    assert loop.history.best is not None
    assert loop.history.best.accuracy == max(line["accuracy"] for line in found)


def test_masks_that_come_again_count_but_are_not_scored_again(problem: Problem, tmp_path: Path) -> None:
    score = FakeScore()
    history = make_loop(problem, tmp_path, agent=Stubborn(problem), score=score).run()
    assert len(history) == problem.evaluations
    assert len(score.asked) == 1
    assert [line["cached"] for line in lines(tmp_path)] == [False] + [True] * (problem.evaluations - 1)
    assert len({line["accuracy"] for line in lines(tmp_path)}) == 1


def test_the_bits_of_an_episode_are_its_masks(problem: Problem, tmp_path: Path) -> None:
    loop = make_loop(problem, tmp_path)
    loop.run()
    for line in lines(tmp_path):
        masks = unpack(str(line["bits"]), problem.order)
        assert vars(problem.cost_model.count(masks)) == line["cost"]
        assert line["violation"] == 0


@pytest.mark.parametrize("bad", [Scored(float("nan"), ROWS), Scored(float("inf"), ROWS), Scored(None, 0)])
def test_an_accuracy_that_is_no_number_is_a_failed_episode(
    bad: Scored, problem: Problem, tmp_path: Path
) -> None:
    class Once(FakeScore):
        def __call__(self, masks, level):
            for number, scored in enumerate(super().__call__(masks, level)):
                yield bad if number == 1 else scored

    warned: list[str] = []
    make_loop(problem, tmp_path, score=Once(), listener=Listener(warn=warned.append)).run()
    failed = [line for line in lines(tmp_path) if line["accuracy"] is None]
    assert len(failed) == len(warned) == 5
    assert all(line["error"] for line in failed)
    assert warned[0].startswith("W506: episode 2 could not be scored")


def test_three_failures_in_a_row_stop_it_and_it_goes_on_once_they_are_gone(
    problem: Problem, tmp_path: Path
) -> None:
    warned: list[str] = []
    broken = FakeScore(lambda number: "disk gone" if number > 10 else "")
    with pytest.raises(DataError, match="3 times in a row") as error:
        make_loop(problem, tmp_path / "a", score=broken, listener=Listener(warn=warned.append)).run()
    assert (error.value.code, error.value.cause) == ("E506", "disk gone")
    assert len(warned) == 3
    assert len(lines(tmp_path / "a")) == 10
    make_loop(problem, tmp_path / "a").run()
    make_loop(problem, tmp_path / "b").run()
    assert (tmp_path / "a/search" / EPISODES).read_bytes() == (tmp_path / "b/search" / EPISODES).read_bytes()


def test_failures_apart_do_not_stop_it(problem: Problem, tmp_path: Path) -> None:
    score = FakeScore(lambda number: "now and then" if number % 3 else "")
    history = make_loop(problem, tmp_path, score=score).run()
    assert len(history) == problem.evaluations


@pytest.mark.parametrize("agent", ["random", "annealing", "cross-entropy", "evolution"])
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(stops=st.lists(st.integers(1, 30), max_size=3), data=st.data())
def test_a_search_that_was_stopped_anywhere_ends_as_one_that_was_not(
    agent: str, stops: list[int], data: st.DataObject, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    problem, folder = problem_of(model), tmp_path_factory.mktemp("runs")
    make_loop(problem, folder / "whole", agent=agent).run()
    scored: list[str] = []
    for stop in stops:
        asked: list[int] = []
        score = FakeScore()

        def enough(asked: list[int] = asked, stop: int = stop) -> bool:
            asked.append(1)
            return len(asked) >= stop

        with contextlib.suppress(KeyboardInterrupt):
            make_loop(
                problem, folder / "parts", agent=agent, score=score, listener=Listener(stop=enough)
            ).run()
        scored += score.asked
        if data.draw(st.booleans()):  # killed while it wrote: lines that no checkpoint knows
            with (folder / "parts/search" / EPISODES).open("a") as file:
                file.write('{"number": 99, "upd')
    score = FakeScore()
    make_loop(problem, folder / "parts", agent=agent, score=score).run()
    scored += score.asked
    for name in (EPISODES, "updates.jsonl"):
        assert (folder / "parts/search" / name).read_bytes() == (folder / "whole/search" / name).read_bytes()
    assert len(scored) == len(set(scored)), "nothing is scored twice"


def test_no_batch_begins_once_the_budget_is_spent(problem: Problem, tmp_path: Path) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 1
        return now[0]

    notes: list[str] = []
    loop = make_loop(problem, tmp_path, clock=clock, budget_s=25.0, listener=Listener(note=notes.append))
    history = loop.run()
    assert 0 < len(history) < problem.evaluations
    assert "the budget is spent" in notes[0]
    again = make_loop(problem, tmp_path, clock=clock, budget_s=25.0).run()
    assert len(again) == len(history), "time is counted over all starts"


def test_an_agent_that_has_nothing_more_ends_it(problem: Problem, tmp_path: Path) -> None:
    notes: list[str] = []
    loop = make_loop(problem, tmp_path, agent="uniform", listener=Listener(note=notes.append))
    assert len(loop.run()) == 1
    assert "nothing more to try" in notes[0]


def test_what_was_given_up_is_never_the_best(problem: Problem, tmp_path: Path) -> None:
    class Part(FakeScore):
        def __call__(self, masks, level):
            for scored in super().__call__(masks, level):
                yield Scored(scored.accuracy + 1, ROWS // 4) if scored.accuracy > 0.5 else scored

    history = make_loop(problem, tmp_path, score=Part()).run()
    assert history.best is not None
    assert (history.best.accuracy or 0) <= 0.5
    assert all(episode.rows == ROWS for episode in history.top(5))
    assert history.summary()["given_up"] > 0


def test_what_nearly_meets_the_target_is_never_among_the_best(problem: Problem, tmp_path: Path) -> None:
    """Soft constraints give such masks, and the better for it: one that meets it must not be crowded out."""
    history = make_loop(problem, tmp_path).run()
    better = [
        replace(history.episodes[0], number=100 + i, masks=str(i), accuracy=2.0, violation=0.004)
        for i in range(5)
    ]
    best = history.best
    history.add(better)
    assert history.best is best
    assert all(episode.violation == 0 for episode in history.top(5))
    assert history.summary()["infeasible"] == 5


def test_an_agent_is_told_which_candidates_were_given_up(problem: Problem, tmp_path: Path) -> None:
    class Listening(Stubborn):
        told: ClassVar[list[Outcome]] = []

        def tell(self, candidates: Sequence[Candidate], outcomes: Sequence[Outcome]) -> Figures:
            self.told.extend(outcomes)
            return {}

    class Part(FakeScore):
        def __call__(self, masks, level):
            yield from (Scored(scored.accuracy, ROWS // 4) for scored in super().__call__(masks, level))

    for score in (Part(), FakeScore(), FakeScore(lambda _number: "gone")):
        with contextlib.suppress(DataError):
            make_loop(
                problem, tmp_path / str(id(score)), agent=Listening(problem), score=score, batch=2
            ).run()
    found = {(outcome.rows, outcome.given_up) for outcome in Listening.told}
    assert found == {(ROWS // 4, True), (ROWS, False), (0, False)}


def test_the_best_few_are_distinct_and_in_order(problem: Problem, tmp_path: Path) -> None:
    top = make_loop(problem, tmp_path).run().top(5)
    accuracies = [episode.accuracy for episode in top]
    assert accuracies == sorted(accuracies, reverse=True)
    assert len({episode.masks for episode in top}) == 5


def test_files_that_are_shorter_than_the_checkpoint_says_are_told(problem: Problem, tmp_path: Path) -> None:
    make_loop(problem, tmp_path).run()
    (tmp_path / "search" / EPISODES).write_text("")
    with pytest.raises(UsageError, match="is damaged") as error:
        make_loop(problem, tmp_path)
    assert error.value.code == "E208"


def test_the_curve_has_a_row_for_each_evaluation_and_never_falls(problem: Problem, tmp_path: Path) -> None:
    make_loop(problem, tmp_path).run()
    table = np.genfromtxt(tmp_path / "search" / "curve.csv", delimiter=",", names=True)
    assert len(table) == problem.evaluations
    assert (np.diff(table["best"]) >= 0).all()
    assert (table["best"] == np.maximum.accumulate(table["accuracy"])).all()
