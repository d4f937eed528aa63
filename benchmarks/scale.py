"""Time and memory of loading, grouping and pruning as a model grows; and costs counted a second.

    python -m benchmarks.scale [--millions 200]

Stacked residual blocks of two 1024-wide MatMuls, saved as one file; each size runs in a process of its
own, so that its peak memory is its own. Linear means: the columns per million parameters stay level.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from multiprocessing import Process
from pathlib import Path

import click
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxprune.cost import CostModel
from onnxprune.groups import find_groups
from onnxprune.onnx_file import load_graph
from onnxprune.onnx_file.saving import save_model
from onnxprune.pruning import prune

WIDTH = 1024


def stacked(blocks: int, path: Path) -> None:
    """x + W2 relu(W1 x), `blocks` times."""
    rng = np.random.default_rng(0)
    nodes, weights, x = [], [], "x"
    for i in range(blocks):
        for name in (f"a{i}", f"b{i}"):
            array = rng.standard_normal((WIDTH, WIDTH), dtype=np.float32) * 0.02
            weights.append(numpy_helper.from_array(array, name))
        nodes += [
            helper.make_node("MatMul", [x, f"a{i}"], [f"h{i}"]),
            helper.make_node("Relu", [f"h{i}"], [f"r{i}"]),
            helper.make_node("MatMul", [f"r{i}", f"b{i}"], [f"o{i}"]),
            helper.make_node("Add", [x, f"o{i}"], [f"x{i}"]),
        ]
        x = f"x{i}"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", WIDTH]) for name in ("x", x)]
    graph = helper.make_graph(nodes, "stacked", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(path: Path) -> None:
    """Print the figures of one file as JSON."""
    empty = peak_mib()
    began = time.process_time()
    graph = load_graph(path)
    loaded = time.process_time()
    groups = find_groups(graph)
    found = time.process_time()
    masks = {g.name: np.arange(g.channels) % 2 == 0 for g in groups.prunable}
    model = prune(groups, masks)
    pruned = time.process_time()
    save_model(model, path.with_suffix(".out.onnx"), source=path, force=True)
    times = {"load": loaded - began, "groups": found - loaded, "prune": pruned - found}
    cost_model = CostModel(groups)
    kept = cost_model.kept_counts(masks)[None]
    began = time.process_time()
    rounds = 500
    for _ in range(rounds):
        cost_model.count_kept(kept)
    rate = rounds / (time.process_time() - began)
    print(json.dumps(times | {"peak_mib": peak_mib(), "start_mib": empty, "counts_per_s": rate}))


COLUMNS = {
    "M params": 9,
    "file MiB": 10,
    "load s": 8,
    "groups s": 10,
    "prune s": 9,
    "peak MiB": 10,
    "2 x file + 300": 16,
    "counts/s": 10,
}


@click.command()
@click.option("--millions", default=200, show_default=True, help="Parameters of the largest model.")
@click.option("--file", type=click.Path(path_type=Path), help="Measure this file only, and print JSON.")
def main(millions: int, file: Path | None) -> None:
    """Seconds and MiB for 1/8, 1/4, 1/2 and all of the largest size."""
    if file is not None:
        measure(file)
        return
    click.echo("".join(f"{name:>{width}}" for name, width in COLUMNS.items()))
    with tempfile.TemporaryDirectory() as folder:
        for part in (8, 4, 2, 1):
            path = Path(folder) / f"stacked{part}.onnx"
            blocks = max(1, round(millions * 1e6 / part / (2 * WIDTH * WIDTH)))
            # in a process of its own: a child starts with the peak memory of its parent
            maker = Process(target=stacked, args=(blocks, path))
            maker.start()
            maker.join()
            command = [sys.executable, "-m", "benchmarks.scale", "--file", str(path)]
            row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            size = path.stat().st_size / 2**20
            params = blocks * 2 * WIDTH * WIDTH / 1e6
            click.echo(
                f"{params:>9.0f}{size:>10.0f}{row['load']:>8.2f}{row['groups']:>10.3f}{row['prune']:>9.2f}"
                f"{row['peak_mib']:>10.0f}{2 * size + 300:>16.0f}{row['counts_per_s']:>10.0f}"
            )
            path.unlink()


if __name__ == "__main__":
    main()
