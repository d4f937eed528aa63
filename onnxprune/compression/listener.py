"""Who is told what goes on, and asked whether to stop."""

from collections.abc import Callable
from dataclasses import dataclass

from onnxprune.search import Progress
from onnxprune.search.listener import never, unheard


@dataclass(frozen=True)
class Listener:
    """Functions that a compression calls.

    Attributes:
        note: Told what goes on, in words.
        warn: Told what limits the result.
        box: Told the name of a box and its state: "running", "done", "skipped" or "kept".
        searching: Told after each evaluation of the search how far it is.
        stop: Asked between evaluations and steps of the training; True saves and raises KeyboardInterrupt.
        saving: Told True while a stop is asked for and heard, False where Ctrl-C may end at once.
    """

    note: Callable[[str], None] = unheard
    warn: Callable[[str], None] = unheard
    box: Callable[[str, str], None] = unheard
    searching: Callable[[Progress], None] = unheard
    stop: Callable[[], bool] = never
    saving: Callable[[bool], None] = unheard
