"""Ctrl-C as a request: what runs finishes its step, saves, and only then ends."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class StopRequest:
    """Whether a signal came.

    Before `listening` is set, and at the second signal, Ctrl-C ends at once as everywhere.

    Attributes:
        listening: Someone looks at `asked` between steps.
        number: The signal; None before one came.
    """

    def __init__(self) -> None:
        self.listening = False
        self.number: signal.Signals | None = None

    @property
    def asked(self) -> bool:
        return self.number is not None

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.number or signal.SIGINT]

    def listen(self, heard: bool) -> None:
        """Whether someone looks from now on, in place."""
        self.listening = heard

    def take(self, number: int, _frame: object) -> None:
        """Remember the signal, or end by an exception."""
        if self.listening and not self.asked:
            self.number = signal.Signals(number)
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            raise SystemExit(EXIT_CODES[signal.Signals(number)])


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Signals become a request inside the block; outside the main thread none arrive."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.take) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
