"""Means and deviations over the seeds: a table for each model, and every record as CSV."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import fields

from onnxprune.study.records import Judged, Record, Spread, by_row

FRACTIONS = ("top1", "top5", "agreement")
HEADINGS = ("target", "agent", "seeds", "evaluations", "selection", "test", "test, trained", "MACs", "params")


def figure(spread: Spread | None, metric: str) -> str:
    """A mean with its deviation, as people read it; the deviation of one seed is not known."""
    if spread is None:
        return "-"
    share = metric in FRACTIONS
    mean, deviation = (100 * v if share else v for v in (spread.mean, spread.deviation))
    digits = ".2f" if share else ".4g"
    shown = f" ± {deviation:{digits}}" if spread.count > 1 else ""
    return f"{mean:{digits}}{shown}{' %' if share else ''}"


def rows_of_model(records: Sequence[Record], model: str, judged: Judged) -> list[list[str]]:
    """Cells of the table of one model, by `HEADINGS`; the best by the selection split first."""
    own = [record for record in records if record.model == model]
    originals: dict[str, list[Record]] = {}
    for record in own:
        originals.setdefault(record.target, []).append(record)
    found = []
    for (_, target, agent), some in by_row(own, judged.sign).items():
        done = [record for record in some if record.selection is not None]
        counts = sorted({record.evaluations for record in done if record.evaluations is not None})
        spreads = {
            name: Spread.of(getattr(record, name) for record in some)
            for name in ("selection", "repaired", "trained", "macs", "params")
        }
        metrics = {"selection": judged.metric, "repaired": judged.tested, "trained": judged.tested}
        figures = [figure(spreads[name], metric) for name, metric in metrics.items()]
        shares = [share(spreads[name]) for name in ("macs", "params")]
        evaluations = "-" if not counts else "-".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
        seeds = f"{len(done)}" if len(done) == len(some) else f"{len(done)} of {len(some)}"
        found.append([target, agent, seeds, evaluations, *figures, *shares])
    return found


def share(spread: Spread | None) -> str:
    return "-" if spread is None else f"{100 * spread.mean:.1f} %"


def original_figure(records: Sequence[Record], model: str, judged: Judged) -> str:
    """Of the original on the test part; the seeds may divide the samples anew."""
    own = [record for record in records if record.model == model]
    by_seed = {record.seed: record.original for record in own if record.original is not None}
    return figure(Spread.of(by_seed.values()), judged.tested)


def markdown(records: Sequence[Record], models: Sequence[str], judged: Judged) -> str:
    """report.md: a table and a picture for each model."""
    lines = ["# Study", ""]
    for model in models:
        lines += [f"## {model}", "", *table(records, model, judged), "", f"![curves]({model}.svg)", ""]
    lines += [
        f"Mean and standard deviation (n - 1) of {metrics_of(judged)} over the seeds, ordered by the",
        "selection split, by which agents were chosen for training too. test: repaired, not trained;",
        "the test part was read when nothing was left to choose. Curves: best so far on the reward split.",
    ]
    return "\n".join(lines) + "\n"


def metrics_of(judged: Judged) -> str:
    """What the figures are, in words."""
    one = judged.tested in ("", judged.metric)
    return judged.metric if one else f"{judged.metric} (selection) and {judged.tested} (test)"


def table(records: Sequence[Record], model: str, judged: Judged) -> Iterator[str]:
    yield f"The original on the test part: {original_figure(records, model, judged)}."
    yield ""
    for row in (HEADINGS, ["---"] * len(HEADINGS), *rows_of_model(records, model, judged)):
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"


def csv_text(records: Sequence[Record]) -> str:
    """One line a record, all of its fields; empty where there is no figure."""
    text = io.StringIO()
    names = [field.name for field in fields(Record)]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(vars(record) for record in records)
    return text.getvalue()
