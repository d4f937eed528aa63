"""The latency table in the folder of a run: a run that goes on must not measure anew, and choose by that."""

from onnxprune.cost import CostModel
from onnxprune.latency.model import TimedCostModel
from onnxprune.latency.table import LatencyTable
from onnxprune.runs.folder import RunFolder, read_json, write_json
from onnxprune.target import Target

TABLE = "latency_table.json"


def write_table(run: RunFolder, cost_model: CostModel) -> None:
    """The table of a cost model that knows the latency, in place; nothing of any other."""
    if isinstance(cost_model, TimedCostModel):
        write_json(run.path / TABLE, cost_model.table.to_json())


def read_table(run: RunFolder, target: Target) -> LatencyTable | None:
    """What `write_table` wrote; None where the target does not bound the latency.

    Raises:
        UsageError: E208, it is missing or damaged.
    """
    return LatencyTable.from_json(read_json(run.path / TABLE)) if target.times else None
