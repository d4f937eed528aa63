"""What a run would have given with other options: for comparison, never for the result."""

from dataclasses import replace
from pathlib import Path

from onnxprune.compression.boxes import chosen_masks, proof_of
from onnxprune.compression.listener import Listener
from onnxprune.compression.options import CompressOptions
from onnxprune.compression.work import make_work
from onnxprune.pipeline import write_pruned
from onnxprune.runs.folder import RunFolder


def write_unsearched(options: CompressOptions, run: RunFolder, out: Path, *, align: str) -> Path:
    """The original pruned to the same target by criterion and allocation alone, to `out`; the path.

    Args:
        options: Of the run.
        run: Which is not changed.
        out: The new file.
        align: As of `PruneSettings`; "1": channel counts as they come.
    """
    other = replace(options, prune=replace(options.prune, align=align))
    work = make_work(other, run, Listener())
    return write_pruned(work.groups, chosen_masks(work).masks, out, samples=proof_of(work), force=True).path
