"""report.md: what a person reads of a run."""

from onnxprune.compression.boxes import Work


def report_box(work: Work) -> tuple[str, ...]:
    """report.md."""
    part = work.at(".report.md.part")
    part.write_text("# Report\n", "utf-8")
    part.replace(work.at("report.md"))
    return ("report.md",)
