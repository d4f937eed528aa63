"""The bar of a search, where it is a step of something longer."""

from collections.abc import Callable
from contextlib import ExitStack

from onnxprune.cli.console import Output
from onnxprune.cli.search_report import progress_text
from onnxprune.search import Progress


class SearchBar:
    """Appears with the first evaluation, and goes with `close` or the stack that it hangs on."""

    def __init__(self, output: Output, stack: ExitStack) -> None:
        self._output = output
        self._bar = stack.enter_context(ExitStack())
        self._step: Callable[..., None] | None = None

    def step(self, progress: Progress) -> None:
        """Show how far the search is."""
        if self._step is None:
            bar = self._output.progress("search", progress.total, worded=True)
            self._step = self._bar.enter_context(bar)
        self._step(progress.done, progress.total, text=progress_text(progress))

    def close(self) -> None:
        """Take it away."""
        self._bar.close()
        self._step = None
