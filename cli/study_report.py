"""What `onnxprune study` tells of a finished study."""

from typing import Any

from onnxprune.cli.console import Output
from onnxprune.study.records import Judged, Record
from onnxprune.study.tables import HEADINGS, metrics_of, original_figure, rows_of_model


def print_summary(output: Output, summary: dict[str, Any]) -> None:
    """A table for each model, and where the rest lies."""
    records = [Record(**record) for record in summary["records"]]
    judged = Judged(summary["metric"], -1 if summary["lower_is_better"] else 1, summary["test_metric"])
    for model in dict.fromkeys(record.model for record in records):
        output.line(f"{model}, the original {original_figure(records, model, judged)} on the test part")
        output.table(HEADINGS, rows_of_model(records, model, judged))
    output.line(
        f"{metrics_of(judged)}: mean ± deviation over the seeds, the best by the selection split first"
    )
    output.line("test: pruned and repaired; read when nothing was left to choose")
    output.line(f"  {summary['run']}/report.md")
