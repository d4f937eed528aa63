"""Learning curves of what `benchmarks.search` has found, best so far on the reward rows, as a picture.

    pip install matplotlib
    python -m benchmarks.search_plot FOLDER docs/search_curves.svg [--agent gat-ppo --agent random]

Lines: the mean over the seeds; bands: one standard deviation (n - 1).
"""

from pathlib import Path

import click
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.search_runs import Record
from benchmarks.search_tables import Cells, Key, is_single, records

COLORS = ("#d1495b", "#1b6ca8", "#2a9d5c", "#e08e16", "#7b4fa3", "#5f6b73", "#17a2a2", "#8c5a2b")
FIRST = 8  # evaluations, left edge of the panels
POINTS = 120  # of a line, closer together where less is evaluated


def best_so_far(some: list[Record], length: int) -> NDArray[np.float64]:
    """(seeds, length) in %; NaN before anything meets the target."""
    rows = []
    for record in some:
        curve = [np.nan if value is None else 100 * value for value in record["curve"]]
        rows.append(curve + curve[-1:] * (length - len(curve)))
    return np.array(rows)


def panel(axes: Axes, cells: Cells, colors: dict[str, str]) -> None:
    """One model at one share."""
    length = max(record["made_for"]["evaluations"] for some in cells.values() for record in some)
    steps, lowest = np.unique(np.geomspace(1, length, POINTS).round().astype(int)), np.inf
    for (_, _, agent), some in cells.items():
        curves = best_so_far(some, length)[:, steps - 1]
        mean = curves.mean(0)
        deviation = curves.std(0, ddof=1) if len(curves) > 1 else np.zeros(len(steps))
        dashed = "--" if agent.startswith("one-shot") else "-"
        axes.plot(steps, mean, dashed, color=colors[agent], label=agent, linewidth=1.6)
        axes.fill_between(
            steps, mean - deviation, mean + deviation, color=colors[agent], alpha=0.15, linewidth=0
        )
        lowest = min(lowest, float(np.nanmin(mean[steps >= min(FIRST, length)], initial=np.inf)))
    axes.set_xscale("log", base=2)
    axes.set_xlim(min(FIRST, length), length)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}")
    if np.isfinite(lowest):
        axes.set_ylim(bottom=lowest - 0.5)
    axes.grid(visible=True, linewidth=0.4, alpha=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def draw(cells: Cells) -> Figure:
    """A row of panels for each model, a column for each share."""
    models = list(dict.fromkeys(model for model, _, _ in cells))
    shares = list(dict.fromkeys(share for _, share, _ in cells))
    agents = sorted({agent for _, _, agent in cells})
    colors = {agent: COLORS[number % len(COLORS)] for number, agent in enumerate(agents)}
    figure = Figure(figsize=(4.6 * len(shares), 3.4 * len(models) + 0.6), layout="constrained")
    grid = figure.subplots(len(models), len(shares), squeeze=False)
    for line, model in zip(grid, models, strict=True):
        for axes, share in zip(line, shares, strict=True):
            own = {key: some for key, some in cells.items() if key[:2] == (model, share)}
            axes.set_title(f"{model}, {share} of the MACs", fontsize=10)
            if own:
                panel(axes, own, colors)
        line[0].set_ylabel("best so far on the reward rows, %")
    for axes in grid[-1]:
        axes.set_xlabel("evaluations")
    lines = {
        text: handle
        for axes in grid.flat
        for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        [lines[agent] for agent in agents], agents, loc="outside lower center", ncols=4, frameon=False
    )
    return figure


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.argument("picture", type=click.Path(path_type=Path))
@click.option("--agent", "agents", multiple=True, help="These alone; repeatable.")
def main(folder: Path, picture: Path, agents: tuple[str, ...]) -> None:
    """Draw PICTURE, an SVG that is the same for the same records."""

    def wanted(key: Key) -> bool:
        return key[2] in agents if agents else not is_single(key)

    cells = {key: some for key, some in records(folder).items() if wanted(key)}
    if not cells:
        raise click.UsageError(f"{folder} holds no such searches")
    mpl.rcParams.update({"svg.hashsalt": "onnxprune", "svg.fonttype": "none", "font.size": 9})
    draw(cells).savefig(picture, metadata={"Date": None} if picture.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
