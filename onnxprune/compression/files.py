"""The files of a compression's run; what else lies in its folder is left alone."""

from pathlib import Path

from onnxprune.latency.run_file import TABLE
from onnxprune.runs import opening
from onnxprune.runs.folder import CONFIG, LOG, RunFolder

COMMAND = "compress"
SEARCH = "search"  # folder of the search, a run of its own
STAGES = "stages"  # folder of all stages but the last
SEARCHED, RESULT = f"{SEARCH}/masks.json", f"{SEARCH}/search.json"
MODELS = ("pruned.onnx", "reconstructed.onnx", "student.onnx", "final.onnx")
OURS = (
    *(CONFIG, LOG, TABLE, "groups.json", "baseline.json", "masks.json", "prune.json", "reconstruct.json"),
    *(
        "distill.json",
        "choice.json",
        "verify.json",
        "measurement.json",
        "latency.json",
        "report.md",
        "distill",
        STAGES,
        SEARCH,
    ),
    *MODELS,
    *(f"{name}.data" for name in MODELS),
)


def open_run(path: Path | str) -> RunFolder:
    """A compression's run that is there.

    Raises:
        UsageError: E208, there is none, or it is damaged or of another version or command.
    """
    return opening.open_run(path, COMMAND)
