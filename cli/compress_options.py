"""Options of `onnxprune compress`: each is a key of the configuration, and unset unless it is given."""

from onnxprune.cli.configured import Told, configured_options, words_of
from onnxprune.cli.help import SECTIONS
from onnxprune.compression.config import KEYS

# Key, what stands for its value, what it means. The flag is the last word of the key where none is given.
TOLD: dict[str, tuple[str, str]] = {
    "target": ("QUANTITY=BOUND", "macs=50%, params=1.2M, bytes=600KiB; repeatable."),
    "prune.criterion": ("NAME", "How much a channel matters; auto takes the most promising."),
    "prune.allocation": ("NAME", "How much of each group goes."),
    "prune.align": ("N", "auto, or a number of channels."),
    "prune.device": ("NAME", "Where the model will run, for --align auto."),
    "prune.min_keep": ("SHARE", "Least share, or number, of channels kept in each group."),
    "prune.skip": ("REGEX", "Leave what matches alone; repeatable."),
    "prune.only": ("REGEX", "Prune only what matches; repeatable."),
    "prune.heads": ("", "Whole attention heads (or groups of a Conv)."),
    "shape": ("NAME:1,3,224,224", "Extents of a free input."),
    "reconstruct.enabled": ("", "The repair without training."),
    "reconstruct.method": ("NAME", "least-squares, or bias."),
    "reconstruct.rows": ("N", "Calibration samples at most."),
    "distill.enabled": ("", "The training; it needs torch."),
    "distill.required": ("", "A model that cannot be trained is an error, not a warning."),
    "distill.loss": ("NAME", "auto, kl, mse or cosine."),
    "distill.alpha": ("SHARE", "Of the teacher; the labels' is the rest."),
    "distill.temperature": ("T", "Softens the class scores of both."),
    "distill.match": ("VALUE", "An inner value to match too, or auto; repeatable."),
    "distill.epochs": ("N", "Passes over the fit part."),
    "distill.batch": ("N", "Rows of one forward pass."),
    "distill.accumulate": ("N", "Batches for one step."),
    "distill.optimizer": ("NAME", "sgd or adamw."),
    "distill.lr": ("RATE", "Peak of the learning rate; 0.02 for sgd, 0.001 for adamw."),
    "distill.weight_decay": ("W", "On kernels and matrices only."),
    "distill.warmup_epochs": ("N", "Rise to the peak; then a cosine."),
    "distill.clip_norm": ("N", "Largest norm of the gradients; none by default."),
    "distill.ema": ("D", "Decay of averaged weights; 0: none."),
    "distill.augment": ("NAMES", "Of flip, crop, cutout and mixup, by commas; or none."),
    "distill.freeze_bn": ("", "BatchNormalization keeps its statistics."),
    "distill.insert_bn": ("", "BatchNormalization that export folded away is put back to train."),
    "distill.precision": ("TYPE", "auto, fp32, bf16 or fp16."),
    "distill.compile": ("", "torch.compile; by default where it finds a compiler."),
    "distill.patience": ("N", "Epochs without a better score before it ends."),
    "distill.device": ("NAME", "Where it is trained: auto, cpu, cuda."),
    "seed": ("N", "Of random choices."),
    "measure.metric": ("NAME", "auto, a metric, or package.module:function."),
    "measure.provider": ("NAME", "auto, cpu, cuda, tensorrt, or a full name."),
    "measure.threads": ("N", "Of one operator."),
    "measure.seconds": ("S", "Of counted runs in all."),
    "data": ("SPEC", "x.npz, x.npy, a folder of them or of images, CIFAR-10, module:function."),
    "test": ("SPEC", "Other samples, read once at the end; else the test part of --data."),
    "map": ("KEY=INPUT", "A key of the data for an input; repeatable."),
    "samples": ("N", "At most so many rows of each part."),
    "images.layout": ("nchw|nhwc", "What the model wants of uint8 images."),
    "images.mean": ("R,G,B", "Mean of each colour, of pixels scaled to [0, 1]."),
    "images.std": ("R,G,B", "Standard deviation of each colour."),
    "images.scale": ("FACTOR", "On the pixels, before mean and std; 1/255 by default."),
    "images.resize": ("SIZE", "256 (shorter side) or 224x224; image files only."),
    "images.crop": ("HxW", "From the middle; image files only."),
    "images.colors": ("rgb|bgr|gray", "What the model wants; image files only."),
}
FLAGS = {
    "reconstruct.enabled": "--reconstruct/--no-reconstruct",
    "reconstruct.method": "--reconstruct-method",
    "reconstruct.rows": "--calibration",
    "distill.enabled": "--distill/--no-distill",
    "distill.required": "--require-distill",
    "distill.insert_bn": "--insert-bn/--no-insert-bn",
    "distill.compile": "--compile/--no-compile",
    "distill.device": "--train-device",
    "measure.seconds": "--duration",
}

ALL = Told(TOLD, KEYS, FLAGS)
HELP_SECTIONS = {
    "Pruning": words_of(ALL, "prune") | {"target", "shape"},
    "Reconstruction": words_of(ALL, "reconstruct"),
    "Distillation": words_of(ALL, "distill"),
    "Measurement": words_of(ALL, "measure"),
    "Data": words_of(ALL, "images") | {"data", "test", "map", "samples"},
    "Output": SECTIONS["Output"],
}
compress_options = configured_options(ALL)
