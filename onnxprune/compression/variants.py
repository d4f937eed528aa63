"""What a run would have given with other options: for comparison, never for the result."""

from dataclasses import replace
from pathlib import Path

from onnxprune.compression.boxes import chosen_masks, make_work, proof_of
from onnxprune.compression.listener import Listener
from onnxprune.compression.options import CompressOptions
from onnxprune.pipeline import write_pruned
from onnxprune.runs.folder import RunFolder


def write_unaligned(options: CompressOptions, run: RunFolder, out: Path) -> Path:
    """The original pruned to the same target, channel counts as they come, to `out`; the path."""
    loose = replace(options, prune=replace(options.prune, align="1"))
    work = make_work(loose, run, Listener())
    return write_pruned(work.groups, chosen_masks(work), out, samples=proof_of(work), force=True).path
