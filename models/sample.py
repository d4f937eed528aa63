"""Make the sample of CIFAR-10 that lies beside the trained network.

    python -m onnxprune.models.sample --data cifar10.npz --out models/cifar10_sample.npz

`onnxprune.data.cifar_sample` reads it, with numpy alone.
"""

from pathlib import Path

import click

from onnxprune.data.cifar import read_cifar10
from onnxprune.data.cifar_sample import take_sample, write_sample
from onnxprune.models.console import Command


@click.command(cls=Command)
@click.option("--data", required=True, type=click.Path(path_type=Path), help="All of CIFAR-10.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="An .npz file.")
def main(data: Path, out: Path) -> None:
    """Write 2,000 search images and 2,000 test images with their labels."""
    write_sample(out, take_sample(read_cifar10(data)))
    click.echo(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
