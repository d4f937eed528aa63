"""Where candidates are evaluated does not show in what they are worth; nobody's death loses any."""

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children

import numpy as np
import pytest

from onnxprune.errors import RuntimeProblem, UsageError
from onnxprune.evaluation import EvaluationCache, Pool, Scored, dask_executor
from tests.evaluation.conftest import Setting


def worth(scored: list[Scored]) -> list[tuple[float, int, bool]]:
    assert all(one.evaluation is not None for one in scored), [one.error for one in scored]
    return [
        (s.evaluation.accuracy, s.evaluation.rows, s.evaluation.abandoned) for s in scored if s.evaluation
    ]


def test_equal_masks_are_evaluated_once(setting: Setting) -> None:
    first, second = setting.masks(2)
    evaluator = setting.evaluator()
    calls = []
    evaluate = evaluator.evaluate
    evaluator.evaluate = lambda masks, **rest: calls.append(masks) or evaluate(masks, **rest)  # type: ignore[method-assign]
    pool = Pool(evaluator)
    found = list(pool.score([first, second, first]))
    assert [one.cached for one in found] == [False, False, True]
    assert [one.cached for one in pool.score([second])] == [True]
    assert len(calls) == 2
    assert worth(found)[0] == worth(found)[2]


def test_what_was_given_up_is_looked_at_again_for_a_lower_level(setting: Setting) -> None:
    pool = Pool(setting.evaluator(race=True))
    whole = {group.name: np.ones(group.channels, bool) for group in setting.groups.prunable}
    (bad,) = setting.masks(1, share=0.15)
    (best,) = pool.score([whole])
    assert best.evaluation is not None
    high = next(pool.score([bad], hopeless_below=best.evaluation.accuracy, against=whole))
    assert high.evaluation is not None
    assert high.evaluation.abandoned
    again = next(pool.score([bad], hopeless_below=best.evaluation.accuracy, against=whole))
    assert again.cached
    low = next(pool.score([bad], hopeless_below=0.0, against=whole))
    assert low.evaluation is not None
    assert (low.cached, low.evaluation.abandoned) == (False, False)
    assert next(pool.score([bad])).cached


def test_the_incumbent_is_evaluated_where_it_was_not(setting: Setting) -> None:
    whole = {group.name: np.ones(group.channels, bool) for group in setting.groups.prunable}
    (bad,) = setting.masks(1, share=0.15)
    known = Pool(setting.evaluator(race=True))
    list(known.score([whole]))
    fresh = Pool(setting.evaluator(race=True))
    assert worth(list(known.score([bad], hopeless_below=0.8, against=whole))) == worth(
        list(fresh.score([bad], hopeless_below=0.8, against=whole))
    )


def counted(_outputs, _labels) -> float:
    """A metric of the user that counts how often it is asked."""
    COUNT.append(1)
    return 0.5


COUNT: list[int] = []


@pytest.mark.parametrize("race", [True, False])
def test_a_metric_without_figures_of_rows_needs_no_incumbent(setting: Setting, race: bool) -> None:
    first, second, best = setting.masks(3)
    COUNT.clear()
    pool = Pool(setting.evaluator(metric="tests.evaluation.test_pool:counted", race=race))
    list(pool.score([first, second], hopeless_below=0.9, against=best))
    assert len(COUNT) == 2


def test_an_error_is_told_and_the_others_go_on(setting: Setting) -> None:
    good, bad = setting.masks(2)
    bad = {name: bits[:-1] for name, bits in bad.items()}
    found = list(Pool(setting.evaluator()).score([bad, good]))
    assert found[0].evaluation is None
    assert found[0].error.startswith("E206: ")
    assert found[1].evaluation is not None


def test_an_executor_that_is_handed_in_is_used_and_left_open(setting: Setting) -> None:
    candidates = setting.masks(5)
    with ThreadPoolExecutor(2) as executor:
        with Pool(setting.spec(), executor=executor) as pool:
            found = worth(list(pool.score(candidates)))
        assert executor.submit(int, "7").result() == 7
    assert found == worth(list(Pool(setting.evaluator()).score(candidates)))


def test_only_the_last_figures_are_kept(setting: Setting) -> None:
    cache, evaluator = EvaluationCache(kept=2), setting.evaluator()
    candidates = setting.masks(3)
    for masks in candidates:
        cache.keep(masks, evaluator.evaluate(masks))
    assert [cache.figures(masks) is None for masks in candidates] == [True, False, False]
    assert len(cache) == 3


def children() -> list[int]:
    return [child.pid for child in active_children() if child.pid is not None]


def test_a_killed_worker_loses_nothing(setting: Setting) -> None:
    candidates = setting.masks(12)
    expected = worth(list(Pool(setting.evaluator(race=True)).score(candidates, hopeless_below=0.7)))
    with Pool(setting.spec(race=True), workers=2) as pool:
        found = []
        for scored in pool.score(candidates, hopeless_below=0.7):
            found.append(scored)
            if len(found) == 2:
                os.kill(children()[0], signal.SIGKILL)
        assert worth(found) == expected
        again = worth(list(pool.score(setting.masks(3, seed=9))))
        assert again == worth(list(Pool(setting.evaluator()).score(setting.masks(3, seed=9))))
    assert children() == []


class Poisoned(ThreadPoolExecutor):
    """All that is under way is lost where a candidate of one channel is."""

    def submit(self, function, /, *arguments, **rest):
        if any(bits.sum() == 1 for bits in arguments[1].masks.values()):
            raise BrokenProcessPool("a process ended abruptly")
        return super().submit(function, *arguments, **rest)


def test_a_candidate_that_kills_its_worker_is_told_from_the_others(setting: Setting) -> None:
    candidates = setting.masks(3)
    poison = {name: np.arange(len(bits)) == 0 for name, bits in candidates[0].items()}
    with Poisoned(2) as executor, Pool(setting.spec(), executor=executor) as pool:
        found = list(pool.score([candidates[0], poison, *candidates[1:]]))
    assert [one.evaluation is None for one in found] == [False, True, False, False]
    assert "its worker died: BrokenProcessPool" in found[1].error


def test_an_interrupt_ends_all_workers(setting: Setting) -> None:
    def interrupted(pool: Pool) -> None:
        for _ in pool.score(setting.masks(8)):
            raise KeyboardInterrupt

    with Pool(setting.spec(), workers=2) as pool, pytest.raises(KeyboardInterrupt):
        interrupted(pool)
    assert children() == []


def test_without_distributed_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(RuntimeProblem) as caught, dask_executor("tcp://127.0.0.1:1"):
        pass
    assert caught.value.code == "E603"
    assert caught.value.hint == 'pip install "onnxprune[distributed]"'


@pytest.mark.parametrize("address", ["nonsense", "tcp://", "http://10.0.0.5:8786", "tcp://10.0.0.5"])
def test_what_is_no_address_of_a_scheduler_is_told_at_once(address: str) -> None:
    pytest.importorskip("distributed")
    with (
        pytest.raises(UsageError, match="is no address of a Dask scheduler") as caught,
        dask_executor(address),
    ):
        pass
    assert (caught.value.code, caught.value.exit_code) == ("E201", 2)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_gives_the_same_though_a_worker_dies(setting: Setting) -> None:
    distributed = pytest.importorskip("distributed")
    candidates = setting.masks(16)
    expected = worth(list(Pool(setting.evaluator()).score(candidates)))
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    )
    with cluster, dask_executor(cluster.scheduler_address) as executor:
        with Pool(setting.spec(), executor=executor) as pool:
            found = []
            for scored in pool.score(candidates):
                found.append(scored)
                if len(found) == 2:
                    os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
        assert worth(found) == expected
