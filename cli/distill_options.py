"""Options of `onnxprune distill` that become a `DistillOptions`."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from onnxprune.distillation import DistillOptions

SPARSITY = (
    click.option(
        "--sparsity",
        default="none",
        show_default=True,
        metavar="NAME",
        help="Before prune, with ORIGINAL as STUDENT too: make whole channels small by group-lasso, greg, "
        "greg-2, sfp or slimming. The last weights are written.",
    ),
    click.option(
        "--sparsity-strength",
        default=0.0,
        metavar="S",
        help="Of group-lasso (5e-4) and slimming (1e-4); growth of greg (fills two thirds of the run).",
    ),
    click.option(
        "--sparsity-keep", default=0.5, show_default=True, metavar="RATIO", help="Of greg, greg-2 and sfp."
    ),
    click.option(
        "--sparsity-every",
        default=10,
        show_default=True,
        metavar="STEPS",
        help="Between two growths of greg and greg-2.",
    ),
    click.option(
        "--sparsity-ceiling",
        default=1.0,
        show_default=True,
        metavar="C",
        help="Of the growing penalty of greg and greg-2.",
    ),
)

# The defaults stand in DistillOptions, which imports torch; a test holds both together.
LEARNING = (
    click.option(
        "--loss",
        default="auto",
        show_default=True,
        metavar="NAME",
        help="kl for class scores, mse or cosine on the outputs; auto: what the outputs are.",
    ),
    click.option(
        "--alpha",
        default=0.5,
        show_default=True,
        metavar="SHARE",
        help="Of the teacher; the labels' is the rest.",
    ),
    click.option(
        "--temperature", default=4.0, show_default=True, metavar="T", help="Softens the class scores of both."
    ),
    click.option(
        "--match",
        multiple=True,
        metavar="VALUE",
        help="An inner value to match too, or auto for the last one of each shape; repeatable.",
    ),
    click.option(
        "--match-weight", default=1.0, show_default=True, metavar="W", help="Of --match in the loss."
    ),
    click.option("--epochs", default=60, show_default=True, metavar="N", help="Passes over the data."),
    click.option("--batch", default=128, show_default=True, metavar="N", help="Rows of one forward pass."),
    click.option("--accumulate", default=1, show_default=True, metavar="N", help="Batches for one step."),
    click.option("--optimizer", default="sgd", show_default=True, metavar="NAME", help="sgd or adamw."),
    click.option(
        "--lr", default=0.0, metavar="RATE", help="Peak of the learning rate; 0.02 for sgd, 0.001 for adamw."
    ),
    click.option("--momentum", default=0.9, show_default=True, metavar="M", help="Of sgd (Nesterov)."),
    click.option(
        "--weight-decay", default=5e-4, show_default=True, metavar="W", help="On kernels and matrices only."
    ),
    click.option(
        "--warmup-epochs",
        default=1.0,
        show_default=True,
        metavar="N",
        help="Rise to the peak; then a cosine.",
    ),
    click.option(
        "--clip-norm", default=0.0, metavar="N", help="Largest norm of the gradients; none by default."
    ),
    click.option(
        "--ema", default=0.998, show_default=True, metavar="D", help="Decay of averaged weights; 0: none."
    ),
    click.option(
        "--augment",
        metavar="NAMES",
        help="Of flip, crop, cutout and mixup, by commas; or none. Colour images: flip,crop.",
    ),
    click.option(
        "--crop-pad", default=0, metavar="PIXELS", help="Around the image; an eighth of it by default."
    ),
    click.option("--cutout-size", default=0, metavar="PIXELS", help="Of the square; half of it by default."),
    click.option(
        "--mixup-alpha", default=0.2, show_default=True, metavar="A", help="Of the Beta distribution."
    ),
    click.option("--freeze-bn", is_flag=True, help="BatchNormalization keeps its statistics."),
    click.option(
        "--insert-bn/--no-insert-bn",
        default=True,
        show_default=True,
        help="Put BatchNormalization that export folded away back for the training; fold it again after.",
    ),
    click.option(
        "--precision", default="auto", show_default=True, metavar="TYPE", help="auto, fp32, bf16 or fp16."
    ),
    click.option(
        "--compile/--no-compile",
        default=None,
        help="torch.compile; by default in long runs, where a compiler is.",
    ),
    click.option(
        "--channels-last/--no-channels-last", default=True, show_default=True, help="Of images in memory."
    ),
    click.option("--patience", default=0, metavar="N", help="Epochs without a better score before it ends."),
    click.option("--switch-teacher", is_flag=True, help="A student that scores higher becomes the teacher."),
    click.option(
        "--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda or cuda:1."
    ),
    click.option("--seed", default=0, show_default=True, metavar="N", help="Of order and augmentation."),
    *SPARSITY,
)
FIELDS = (
    *("loss", "alpha", "temperature", "match", "match_weight", "epochs", "batch", "accumulate", "optimizer"),
    *("lr", "momentum", "weight_decay", "warmup_epochs", "clip_norm", "ema", "augment", "crop_pad"),
    *(
        "cutout_size",
        "mixup_alpha",
        "freeze_bn",
        "insert_bn",
        "precision",
        "compile",
        "channels_last",
        "patience",
    ),
    *("switch_teacher", "device", "seed"),
    *("sparsity", "sparsity_strength", "sparsity_keep", "sparsity_every", "sparsity_ceiling"),
)


def learning_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds all of them; the command gets them as one `learning`, a dict of fields."""

    @wraps(function)
    def run(**values: Any) -> Any:
        learning = {name: values.pop(name) for name in FIELDS}
        return function(learning=learning, **values)

    for option in reversed(LEARNING):
        run = option(run)
    return run


def distill_options(learning: dict[str, Any]) -> "DistillOptions":
    """The options, checked.

    Raises:
        UsageError: E201, a value out of its range or unknown.
    """
    from onnxprune.distillation import DistillOptions
    from onnxprune.distillation.options import check_options

    augment = learning["augment"]
    names = None if augment is None else tuple(n for n in augment.replace(" ", "").split(",") if n != "none")
    options = DistillOptions(**{**learning, "augment": names})
    check_options(options)
    return options
