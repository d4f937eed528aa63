"""Who is told what goes on, and asked whether to stop."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a search is.

    Attributes:
        done, total: Evaluations.
        elapsed_s, eta_s: Since it began, until its end at this pace.
        best: Number of the best episode so far; None before one meets the target.
        metric: What the figures are of.
        figure: Its metric, as the metric counts.
        difference: From the original's, as the metric counts.
        shares: What its masks leave of the original's cost, by quantity of the target.
        reward: Of the last update, as the agent tells it; None where it tells none.
    """

    done: int
    total: int
    elapsed_s: float
    eta_s: float
    best: int | None
    metric: str
    figure: float | None
    difference: float | None
    shares: dict[str, float]
    reward: float | None


def unheard(*_: object) -> None:
    return


def never() -> bool:
    return False


@dataclass(frozen=True)
class Listener:
    """Functions that a search calls.

    Attributes:
        note: Told what goes on, in words.
        detail: Told of each batch, in words.
        warn: Told what limits the result, and of episodes that failed.
        step: Told after each evaluation how far it is.
        stop: Asked after each evaluation; True saves and raises KeyboardInterrupt.
        saving: Told True while a stop is asked for and heard, False where Ctrl-C may end at once.
    """

    note: Callable[[str], None] = unheard
    detail: Callable[[str], None] = unheard
    warn: Callable[[str], None] = unheard
    step: Callable[[Progress], None] = unheard
    stop: Callable[[], bool] = never
    saving: Callable[[bool], None] = unheard
