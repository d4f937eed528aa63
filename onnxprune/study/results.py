"""What a study leaves: study.json, records.csv, report.md, and a picture for each model."""

from itertools import zip_longest
from math import nan
from pathlib import Path
from typing import Any

from onnxprune.runs.folder import RunFolder, read_json, write_json, write_text
from onnxprune.study.cells import SEARCHES, Cell, cells_of
from onnxprune.study.options import StudyOptions
from onnxprune.study.picture import Curve, Panel, curves
from onnxprune.study.records import Judged, Spread, curve_of, record_of, summary
from onnxprune.study.tables import FRACTIONS, csv_text, markdown
from onnxprune.study.working import DONE

RESULT, REPORT, TABLE = "study.json", "report.md", "records.csv"
FORMAT = 1


def write_results(run: RunFolder, options: StudyOptions, judged: Judged) -> None:
    """study.json, records.csv, report.md and a picture for each model, in place."""
    cells = cells_of(options)
    records = [record_of(run, cell) for cell in cells]
    write_json(run.path / RESULT, {"format": FORMAT, **summary(records, judged)})
    write_text(run.path / TABLE, csv_text(records))
    stems = [Path(model).stem for model in options.models]
    write_text(run.path / REPORT, markdown(records, stems, judged))
    for stem in stems:
        write_text(run.path / f"{stem}.svg", picture(run, options, stem, judged))


def picture(run: RunFolder, options: StudyOptions, stem: str, judged: Judged) -> str:
    """The curves of one model, a panel for each target."""
    factor = 100 if judged.metric in FRACTIONS else 1
    panels = []
    for target in options.targets:
        by_agent: dict[str, list[list[float | None]]] = {}
        for cell in cells_of(options):
            if (cell.row.stem, cell.row.target) == (stem, target) and is_done(run, cell):
                by_agent.setdefault(cell.row.agent, []).append(curve_of(run, cell, judged.sign))
        panels.append(Panel(target, [curve(agent, some, factor) for agent, some in by_agent.items()]))
    unit = ", %" if factor == 100 else ""
    return curves(stem, panels, label=f"best so far, {judged.metric}{unit}")


def is_done(run: RunFolder, cell: Cell) -> bool:
    return bool(run.box(f"{SEARCHES}/{cell.name}").get("state") == DONE)


def curve(agent: str, some: list[list[float | None]], factor: float) -> Curve:
    """Mean and deviation over the seeds where all have a figure; one that ended early keeps its last."""
    longest = max(map(len, some))
    full = [one + one[-1:] * (longest - len(one)) for one in some]
    spreads = [Spread.of(values) if None not in values else None for values in zip_longest(*full)]
    return Curve(
        agent,
        [nan if spread is None else factor * spread.mean for spread in spreads],
        [nan if spread is None else factor * spread.deviation for spread in spreads],
    )


def summary_of(run: RunFolder) -> dict[str, Any]:
    """All that a finished study found.

    Raises:
        UsageError: E208, its result is missing or damaged.
    """
    found = read_json(run.path / RESULT)
    failed = {
        name: {key: box[key] for key in ("state", "why", "exit_code")}
        for name, box in run.record["boxes"].items()
        if box.get("state") != DONE
    }
    return {"run": str(run.path), "status": run.record["status"], **found, "failed": failed}
