"""How a run ends, what it tells, and whether its inputs are what they were."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from onnxprune.errors import OnnxPruneError, UsageError
from onnxprune.runs.folder import RunFolder, now


def require_same(run: RunFolder, found: dict[str, Any]) -> None:
    """Raises: UsageError: E208, an input is not what it was."""
    for name, was in run.record["sha256"].items():
        if found.get(name) != was:
            got = str(found.get(name))
            raise UsageError(
                "E208",
                f"{run.path}: run was made for {name} with sha256 {str(was)[:8]}..., got {got[:8]}...",
                hint=f"put the old {name} back, or start a new run",
            )


def logged_note(run: RunFolder, tell: Callable[[str], None]) -> Callable[[str], None]:
    """The same, with everything written to log.txt too."""

    def note(text: str) -> None:
        run.log(text)
        tell(text)

    return note


def logged_warning(run: RunFolder, tell: Callable[[str], None]) -> Callable[[str], None]:
    """The same, with everything written to log.txt and to run.json too."""

    def warn(text: str) -> None:
        run.log(f"warning: {text}")
        run.warn(text)
        tell(text)

    return warn


@contextmanager
def recorded(run: RunFolder) -> Iterator[None]:
    """How a run ends goes into run.json."""
    run.update(status="running", error=None)
    try:
        yield
    except OnnxPruneError as error:
        run.update(status="failed", ended=now(), error=str(error))
        raise
    except (KeyboardInterrupt, SystemExit):
        run.update(status="interrupted", ended=now())
        raise
    except Exception as error:
        run.update(status="failed", ended=now(), error=f"{type(error).__name__}: {error}")
        raise
    run.update(status="done", ended=now())
