"""`onnxprune demo`: the tour on the model and the images that lie in the package."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from onnxprune.cli.console import Output
from onnxprune.cli.demo_report import document, print_end
from onnxprune.cli.demo_steps import COMPARED, compare_times, look, run_all
from onnxprune.cli.help import Command
from onnxprune.cli.options import output_options
from onnxprune.compression import summary_of
from onnxprune.onnx_file.saving import check_output
from onnxprune.runs.opening import check_new


@click.command("demo", cls=Command)
@output_options("demo")
@click.option(
    "--keep",
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to leave the run with all its models; else it is removed.",
)
@click.option("--force", is_flag=True, help="Replace what an earlier demo left there.")
def command(output: Output, keep: Path | None, force: bool) -> None:
    """Compress a ResNet-20 that was trained on CIFAR-10 to half its MACs, and tell what that gained and lost.

    It takes a few minutes on two cores. An agent tries 64 ways to remove channels. Weights are learned from
    1,500 images, all that is chosen is chosen on 500 others; 2,000 test images are read once, at the end.
    """
    with demo_folder(keep, force=force) as folder:
        look(output)
        run = run_all(output, folder, force=force)
        report = compare_times(output, run)
        summary = summary_of(run)
        print_end(output, summary)
        output.finish(document(summary, report, keep))
        if keep is not None:
            output.line(f"kept in {keep}; read {keep / 'report.md'}")


@contextmanager
def demo_folder(keep: Path | None, *, force: bool) -> Iterator[Path]:
    """The folder to keep, checked before any work, or a temporary one.

    Raises:
        UsageError: E203, a run or other files lie there, or it cannot be made.
    """
    if keep is None:
        with TemporaryDirectory(prefix="onnxprune-demo-") as folder:
            yield Path(folder)
        return
    check_new(keep, "compress", force=force)
    if keep.exists():
        for name in COMPARED.values():
            check_output(keep / name, force)
    yield keep
