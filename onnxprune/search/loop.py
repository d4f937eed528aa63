"""The loop: ask, evaluate, tell, write down; until enough is evaluated, or someone wants it to stop."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from onnxprune.agents.types import Agent, Candidate, Figures, Problem
from onnxprune.environment.rewards import violation
from onnxprune.errors import DataError, UsageError
from onnxprune.masks import masks_hash
from onnxprune.search.history import PATIENCE, Episode, History, Scored, pack
from onnxprune.search.journal import Journal, Saved
from onnxprune.search.listener import Listener, Progress
from onnxprune.search.scoring import Score, level_of

UNSCORED = Scored(None, 0)
LARGEST = 1e150  # of accuracies: squares of what is larger are no numbers


@dataclass(frozen=True)
class Baseline:
    """The original, and how the metric counts.

    Attributes:
        accuracy: On the reward split, larger is better.
        metric: Its name.
        sign: 1, or -1 where the metric itself counts down.
        rows: Samples of a full evaluation.
    """

    accuracy: float
    metric: str
    sign: int
    rows: int


@dataclass
class Loop:
    """A search in the middle of its work.

    Attributes:
        problem, agent: What is searched, and who.
        score: What masks are worth on the reward split.
        baseline: Of the original.
        journal: Where it is written down.
        listener: Who is told.
        batch: Candidates of one update.
        budget_s: No batch begins after so many seconds, once any candidate is scored; infinite: no limit.
        clock: Seconds of any beginning.
    """

    problem: Problem
    agent: Agent
    score: Score
    baseline: Baseline
    journal: Journal
    listener: Listener = field(default_factory=Listener)
    batch: int = 16
    budget_s: float = math.inf
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.history = History(self.baseline.rows)
        self.updates = 0
        self.exhausted = False  # the agent had nothing more to try
        self.reward: float | None = None
        self.scoring_s = 0.0
        self._before = 0.0  # seconds of earlier starts
        self._began = self.clock()

    @property
    def elapsed_s(self) -> float:
        """Time spent in all, that of earlier starts included."""
        return self._before + self.clock() - self._began

    def resume(self) -> None:
        """Go on from the checkpoint, in place; begin where there is none.

        Raises:
            UsageError: E208, it is damaged, or of another version of the agent.
        """
        saved = self.journal.resume(self.history)
        if saved is None:
            self.journal.begin()
            return
        try:
            self.agent.restore(saved.agent)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UsageError(
                "E208",
                f"{self.journal.folder}: the agent cannot go on from this checkpoint",
                cause=f"another version wrote it ({type(error).__name__}: {error})",
                hint="finish the run with the version that run.json names, or start a new one",
            ) from error
        self.updates, self._before, self.scoring_s = saved.updates, saved.elapsed_s, saved.scoring_s

    def run(self) -> History:
        """Evaluate until it is enough, in place; everything that was tried.

        Raises:
            DataError: E506, scoring failed three times in a row; the last checkpoint holds.
            KeyboardInterrupt: The listener asked for it; nothing that was evaluated is lost.
        """
        while len(self.history) < self.problem.evaluations:
            if self.elapsed_s >= self.budget_s and self.history.known:
                self.listener.note(f"the budget is spent after {len(self.history)} evaluations")
                break
            left = self.problem.evaluations - len(self.history)
            candidates = self.agent.ask(min(self.batch, left))
            if not candidates:
                self.exhausted = True
                self.listener.note(f"the agent has nothing more to try after {len(self.history)} evaluations")
                break
            hashes = [masks_hash(candidate.masks) for candidate in candidates]
            began = self.clock()
            scored = self.score_missing(candidates, hashes)
            self.scoring_s += self.clock() - began
            self.tell(candidates, self.episodes(candidates, hashes, scored))
        return self.history

    def tell(self, candidates: Sequence[Candidate], episodes: Sequence[Episode]) -> None:
        """Tell the agent, write everything down, in place."""
        self.listener.saving(True)
        figures = self.agent.tell(candidates, [self.history.outcome(episode) for episode in episodes])
        finite: Figures = {name: float(v) for name, v in figures.items() if math.isfinite(v)}
        self.history.add(episodes)
        self.updates += 1
        self.reward = finite.get("reward", self.reward)
        self.journal.record(episodes, self.history, finite, self.elapsed_s)
        saved = Saved(self.agent.state(), self.updates, self.elapsed_s, self.scoring_s)
        self.journal.save(saved, self.history)
        self._progress(())
        self.listener.detail(self._told(finite))
        self._stop()

    def _told(self, figures: Figures) -> str:
        """A batch in words."""
        best, sign = self.history.best, self.baseline.sign
        found = "none yet" if best is None else f"{sign * (best.accuracy or 0.0):.4g} (episode {best.number})"
        told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        return f"update {self.updates}: {len(self.history)} evaluations, best {found}; {told or 'no figures'}"

    def episodes(
        self, candidates: Sequence[Candidate], hashes: Sequence[str], scored: Mapping[str, Scored]
    ) -> list[Episode]:
        """One for each candidate; masks that were evaluated before have that accuracy again."""
        episodes: list[Episode] = []
        for candidate, key in zip(candidates, hashes, strict=True):
            own = next((e for e in episodes if e.masks == key and e.accuracy is not None), None)
            earlier = self.history.known.get(key) or own
            found = scored.get(key, UNSCORED) if earlier is None else Scored(earlier.accuracy, earlier.rows)
            cost = self.problem.cost_model.count(candidate.masks)
            episode = Episode(
                number=len(self.history) + len(episodes) + 1,
                update=self.updates + 1,
                note=candidate.note,
                masks=key,
                bits=pack(candidate.masks, self.problem.order),
                violation=violation(cost, target=self.problem.target, whole=self.problem.whole),
                cost=cost,
                cached=earlier is not None,
                **vars(found),
            )
            episodes.append(episode)
        return episodes

    def score_missing(self, candidates: Sequence[Candidate], hashes: Sequence[str]) -> dict[str, Scored]:
        """Score what was not scored before, by hash.

        Raises:
            DataError: E506, scoring failed three times in a row.
            KeyboardInterrupt: The listener asked for it.
        """
        pending = self.journal.pending()
        found = {key: pending[key] for key in hashes if key in pending and key not in self.history.known}
        wanted = {
            key: candidate.masks
            for key, candidate in zip(hashes, candidates, strict=True)
            if key not in self.history.known and key not in found
        }
        failures, level = self.history.failing(), level_of(self.history, self.problem)
        self.listener.saving(True)
        results = self.score(list(wanted.values()), level) if wanted else ()
        for key, given in zip(wanted, results, strict=True):
            scored = checked(given)
            found[key] = scored
            if scored.error:
                failures += 1
                number = len(self.history) + hashes.index(key) + 1
                self.listener.warn(f"W506: episode {number} could not be scored: {scored.error}")
                self._give_up(failures, scored.error)
            else:
                failures = 0
                self.journal.pend(key, scored)
            self._progress(tuple(found.values()))
            self._stop()
        return found

    def _give_up(self, failures: int, error: str) -> None:
        if failures >= PATIENCE:
            raise DataError(
                "E506",
                f"scoring failed {failures} times in a row, in evaluation {len(self.history) + 1} and after",
                cause=error,
                hint="the search is saved; --resume goes on once the metric or the data is repaired",
            )

    def _stop(self) -> None:
        if self.listener.stop():
            raise KeyboardInterrupt

    def _progress(self, found: Sequence[Scored]) -> None:
        done, total = len(self.history) + len(found), self.problem.evaluations
        elapsed, best = self.elapsed_s, self.history.best
        eta = elapsed / done * (total - done) if done else 0.0
        accuracy = None if best is None else best.accuracy
        whole = self.problem.whole
        shares = {}
        if best is not None:
            names = dict.fromkeys(bound.quantity for bound in self.problem.target.bounds)
            shares = {name: getattr(best.cost, name) / max(1, getattr(whole, name)) for name in names}
        sign = self.baseline.sign
        self.listener.step(
            Progress(
                done=done,
                total=total,
                elapsed_s=elapsed,
                eta_s=min(eta, max(0.0, self.budget_s - elapsed)),
                best=None if best is None else best.number,
                metric=self.baseline.metric,
                figure=None if accuracy is None else sign * accuracy,
                difference=None if accuracy is None else sign * (accuracy - self.baseline.accuracy),
                shares=shares,
                reward=self.reward,
            )
        )


def checked(scored: Scored) -> Scored:
    """The same, where its accuracy is a finite number; else failed."""
    if scored.error or scored.accuracy is None:
        return Scored(None, scored.rows, scored.error or "no accuracy came back")
    if not abs(scored.accuracy) < LARGEST:
        return Scored(None, scored.rows, f"the accuracy is {scored.accuracy}")
    return scored
