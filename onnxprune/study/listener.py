"""Who is told what goes on, and asked whether to stop."""

from collections.abc import Callable
from dataclasses import dataclass

from onnxprune.search.listener import never, unheard


@dataclass(frozen=True)
class Listener:
    """Functions that a study calls.

    Attributes:
        note: Told what goes on, in words.
        warn: Told what limits the result, and of searches that failed.
        step: Told how many searches and models are done, of how many.
        stop: Asked within a search or a training; True saves and raises KeyboardInterrupt.
        saving: Told True while a stop is asked for and heard, False where Ctrl-C may end at once.
    """

    note: Callable[[str], None] = unheard
    warn: Callable[[str], None] = unheard
    step: Callable[[int, int], None] = unheard
    stop: Callable[[], bool] = never
    saving: Callable[[bool], None] = unheard
