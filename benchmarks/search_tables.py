"""Tables of what `benchmarks.search` has found so far: mean and standard deviation (n - 1) over the seeds."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.search_runs import Record
from onnxprune.allocation import ALLOCATIONS
from onnxprune.runs.folder import read_json

POINTS = (64, 128, 256, 512)
FEW = 16  # evaluations, below which seconds say nothing
ONE_CRITERION = "one-shot:criteria="
Key = tuple[str, str, str]  # model, share, agent
Cells = dict[Key, list[Record]]


def records(folder: Path) -> Cells:
    """All of a folder, by model, share and agent."""
    found: Cells = defaultdict(list)
    for path in sorted(folder.glob("*.json")):
        if path.name.endswith(".masks.json"):
            continue
        record = read_json(path)
        facts = record["made_for"]
        found[facts["model"], facts["share"], facts["agent"]].append(record)
    worst_first = sorted(found, key=lambda key: (key[0], -float(key[1].rstrip("%")), mean_test(found[key])))
    return {key: found[key] for key in worst_first}


def mean_test(some: Sequence[Record]) -> float:
    return float(np.mean([record["best"]["test"] for record in some]))


def is_single(key: Key) -> bool:
    """One allocation, or one criterion with the best of its allocations."""
    return key[2] in ALLOCATIONS or key[2].startswith(ONE_CRITERION)


def tables(cells: Cells) -> Iterator[str]:
    searches = {key: some for key, some in cells.items() if not is_single(key)}
    single = {key: some for key, some in cells.items() if is_single(key)}
    if searches:
        yield from accuracies(searches)
        yield from curves(searches)
    if single:
        yield from singles(single)
    yield from breakdown(cells)


def accuracies(cells: Cells) -> Iterator[str]:
    """On all splits."""
    yield "| model | target | agent | seeds | test | test, full repair | selection | reward | MACs |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for key, some in cells.items():
        figures = [spread(some, best(name)) for name in ("test", "test_full", "selection", "reward")]
        yield row(*key, len(some), *figures, spread(some, best("macs"), digits=1))
    yield ""


def curves(cells: Cells) -> Iterator[str]:
    """The best so far on the reward rows."""
    most = max((len(record["curve"]) for some in cells.values() for record in some), default=0)
    points = [point for point in POINTS if point <= most] or [most]
    yield (
        "| model | target | agent | seeds | " + " | ".join(f"{point} evaluations" for point in points) + " |"
    )
    yield "|---" * (4 + len(points)) + "|"
    for key, some in cells.items():
        yield row(*key, len(some), *(spread(some, partial(at, evaluations=point)) for point in points))
    yield ""


def best(name: str) -> Callable[[Record], float | None]:
    """A figure of the best masks of a record."""
    return lambda record: record["best"][name]


def at(record: Record, evaluations: int) -> float | None:
    """The best after so many; the last where there was nothing more to try."""
    curve = record["curve"]
    best: float | None = curve[min(evaluations, len(curve)) - 1]
    return best


def singles(cells: Cells) -> Iterator[str]:
    """One-shot choices."""
    yield "| model | target | criterion and allocation | tried | test | test, full repair | reward |"
    yield "|---|---|---|---|---|---|---|"
    for (model, share, _), some in cells.items():
        figures = [spread(some, best(name)) for name in ("test", "test_full", "reward")]
        yield row(model, share, some[0]["best"]["note"], some[0]["history"]["evaluations"], *figures)
    yield ""


def breakdown(cells: Cells) -> Iterator[str]:
    """Processor seconds of a search, and milliseconds of one evaluation by step.

    The last two columns: what is no evaluation, as a share of all; and what is neither repair nor run.
    """
    steps = ("repair", "rewrite", "session", "run")
    yield (
        "| model | target | agent | seeds | evaluated | seconds | a minute | "
        + " | ".join(f"{step}, ms" for step in steps)
        + " | agent, s | no evaluation | neither repair nor run |"
    )
    yield "|---" * 14 + "|"
    for key, some in cells.items():
        count = float(np.mean([record["evaluated"] for record in some]))
        if count < FEW:
            continue
        seconds = {name: float(np.mean([r["seconds"][name] for r in some])) for name in some[0]["seconds"]}
        whole = seconds["elapsed"] + seconds["setup"]
        beside = 1 - sum(seconds[step] for step in steps) / whole
        strict = 1 - (seconds["repair"] + seconds["run"]) / whole
        yield row(
            *key, len(some), f"{count:.0f}", f"{whole:.0f}", f"{60 * count / whole:.0f}",
            *(f"{1000 * seconds[step] / count:.0f}" for step in steps),
            f"{whole - seconds['scoring']:.1f}", f"{beside:.1%}", f"{strict:.1%}",
        )  # fmt: skip
    yield ""


def spread(some: Sequence[Record], figure: Callable[[Record], float | None], digits: int = 2) -> str:
    """Mean ± deviation of shares, in %; - where one is missing."""
    found = [figure(record) for record in some]
    values = [100 * value for value in found if value is not None]
    if len(values) < len(found):
        return "-"
    mean = f"{np.mean(values):.{digits}f}"
    return f"{mean} ± {np.std(values, ddof=1):.{digits}f} %" if len(values) > 1 else f"{mean} %"


def row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
