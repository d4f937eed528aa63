"""What decides a distillation, beside the two models and the data."""

from dataclasses import dataclass
from typing import Literal, get_args

from onnxprune.errors import UsageError

Loss = Literal["auto", "kl", "mse", "cosine"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Optimizer = Literal["sgd", "adamw"]
Sparse = Literal["none", "group-lasso", "greg", "greg-2", "sfp", "slimming"]
LOSSES: tuple[Loss, ...] = get_args(Loss)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
SPARSE: tuple[Sparse, ...] = get_args(Sparse)
AUGMENTATIONS = ("flip", "crop", "cutout", "mixup")
PEAKS: dict[str, float] = {"sgd": 0.02, "adamw": 1e-3}
STRENGTHS: dict[str, float] = {"group-lasso": 5e-4, "slimming": 1e-4}


@dataclass(frozen=True)
class DistillOptions:
    """How the student learns.

    Attributes:
        loss: kl for class scores, mse or cosine on the outputs; auto takes what the outputs are.
        alpha: Share of the teacher's term; 1 - alpha is the labels'. Without labels it is 1.
        temperature: By which class scores are divided before softmax, in the teacher's term.
        match: Values whose difference to the teacher's counts too; ("auto",) for the last of each shape.
        match_weight: Factor on that difference.
        epochs: Passes over the fit part.
        batch: Rows of one forward pass, over all processes together.
        accumulate: Batches for one step of the optimizer.
        optimizer: sgd (Nesterov momentum) or adamw.
        lr: Peak of the learning rate; 0 for 0.02 (sgd) or 0.001 (adamw).
        momentum: Of sgd.
        weight_decay: On kernels and matrices; never on biases and normalisation parameters.
        warmup_epochs: Linear rise to the peak, before half a cosine down to zero.
        clip_norm: Largest norm of all gradients together; 0 for no limit.
        ema: Share of the old average that a step keeps in the averaged weights; 0 for none.
        augment: Of flip, crop, cutout and mixup; None for flip and crop where the input is a colour image.
        crop_pad: Pixels of zeros on each side before the random crop; 0 for an eighth of the height.
        cutout_size: Side of the square set to zero; 0 for half of the height.
        mixup_alpha: Of the Beta distribution that the shares are drawn from.
        freeze_bn: BatchNormalization keeps its statistics.
        insert_bn: BatchNormalization that export folded into convolutions is put back for the training, and
            folded again for the file; not with freeze_bn, nor with batches too small for statistics.
        precision: Of the forward passes; weights and optimizer stay float32. auto: bf16 where the processor
            computes in it, on CUDA bf16 or else fp16.
        compile: torch.compile; None for: in runs of 500 steps and more, where a compiler is found.
        channels_last: Order of images in memory, in which most kernels are faster.
        patience: Epochs without a better score on the search part before it ends; 0 for no limit.
        switch_teacher: The best student takes the teacher's place where it scores higher.
        device: auto, cpu, cuda, or cuda:N.
        seed: Of order and augmentation.
        sparsity: What makes whole channels small before pruning (see sparsity.py): group-lasso, greg, greg-2,
            sfp, slimming, or none. The weights written are then the last ones, without an average of weights.
        sparsity_strength: Factor of the penalty of group-lasso (0: 5e-4) and slimming (0: 1e-4), growth at a
            time of greg and greg-2 (0: the ceiling is reached after two thirds of the run).
        sparsity_keep: Keep ratio of each group, for greg, greg-2 and sfp.
        sparsity_every: Steps between two growths of greg and greg-2.
        sparsity_ceiling: To which the penalty of greg and greg-2 grows.
    """

    loss: Loss = "auto"
    alpha: float = 0.5
    temperature: float = 4.0
    match: tuple[str, ...] = ()
    match_weight: float = 1.0
    epochs: int = 60
    batch: int = 128
    accumulate: int = 1
    optimizer: Optimizer = "sgd"
    lr: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup_epochs: float = 1.0
    clip_norm: float = 0.0
    ema: float = 0.998
    augment: tuple[str, ...] | None = None
    crop_pad: int = 0
    cutout_size: int = 0
    mixup_alpha: float = 0.2
    freeze_bn: bool = False
    insert_bn: bool = True
    precision: Precision = "auto"
    compile: bool | None = None
    channels_last: bool = True
    patience: int = 0
    switch_teacher: bool = False
    device: str = "auto"
    seed: int = 0
    sparsity: Sparse = "none"
    sparsity_strength: float = 0.0
    sparsity_keep: float = 0.5
    sparsity_every: int = 10
    sparsity_ceiling: float = 1.0

    @property
    def peak(self) -> float:
        """Peak of the learning rate."""
        return self.lr or PEAKS[self.optimizer]

    @property
    def decay(self) -> float:
        """Weight decay of the optimizer: none where group lasso takes its place."""
        return 0.0 if self.sparsity == "group-lasso" else self.weight_decay

    @property
    def strength(self) -> float:
        """Of the penalty, 0 where the length of the run decides it."""
        return self.sparsity_strength or STRENGTHS.get(self.sparsity, 0.0)


# What moves the weights by rounding only, or decides where to stop: a run may continue with another value.
FREE_ON_RESUME = frozenset({"compile", "device", "patience"})
CHOICES: dict[str, tuple[str, ...]] = {
    "loss": LOSSES,
    "precision": PRECISIONS,
    "optimizer": OPTIMIZERS,
    "sparsity": SPARSE,
}
RANGES: dict[str, tuple[float, float]] = {
    "alpha": (0, 1),
    "temperature": (0.01, 1000),
    "match_weight": (0, 1e6),
    "epochs": (1, 1e6),
    "batch": (1, 1e7),
    "accumulate": (1, 1e6),
    "lr": (0, 100),
    "momentum": (0, 0.9999),
    "weight_decay": (0, 10),
    "warmup_epochs": (0, 1e6),
    "clip_norm": (0, 1e9),
    "ema": (0, 0.999999),
    "crop_pad": (0, 1e4),
    "cutout_size": (0, 1e4),
    "mixup_alpha": (0.001, 100),
    "patience": (0, 1e6),
    "seed": (0, 2**32 - 1),
    "sparsity_strength": (0, 100),
    "sparsity_keep": (0, 1),
    "sparsity_every": (1, 1e6),
    "sparsity_ceiling": (0, 100),
}


def check_options(options: DistillOptions) -> None:
    """Raises: UsageError: E201, a value out of its range or unknown."""
    for name, known in CHOICES.items():
        value = getattr(options, name)
        if value not in known:
            raise UsageError("E201", f"{option_of(name)} {value!r}: there are {', '.join(known)}")
    for name, (low, high) in RANGES.items():
        value = getattr(options, name)
        if not low <= value <= high:
            raise UsageError("E201", f"{option_of(name)} {value:g}: must be in [{low:g}, {high:g}]")
    unknown = [name for name in options.augment or () if name not in AUGMENTATIONS]
    if unknown:
        raise UsageError("E201", f"--augment {unknown[0]!r}: there are {', '.join(AUGMENTATIONS)}, or none")
    if options.sparsity != "none" and options.patience:
        raise UsageError("E201", "--patience ends at the best score, --sparsity at the last epoch: give one")


def option_of(name: str) -> str:
    """The command line's word for a field."""
    return f"--{name.replace('_', '-')}"
