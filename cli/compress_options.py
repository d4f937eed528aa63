"""Options of `onnxprune compress`: each is a key of the configuration, and unset unless it is given."""

from onnxprune.cli.configured import Told, configured_options, words_of
from onnxprune.cli.help import SECTIONS
from onnxprune.cli.option_texts import CACHE, CHANNELS, DATA, IMAGES, ROWS, SHAPE, below
from onnxprune.compression.config import KEYS

# Key, what stands for its value, what it means. The flag is the last word of the key where none is given.
TOLD: dict[str, tuple[str, str]] = {
    "target": ("QUANTITY=BOUND", "macs=50%, params=1.2M, bytes=600KiB, latency=4ms; repeatable."),
    "search.agent": ("NAME", "Who chooses what goes: auto, none, or one of `onnxprune search --agents`."),
    "search.agent_option": ("KEY=VALUE", "An option of the agent; repeatable."),
    "search.evaluations": ("N", "Candidates to evaluate."),
    "search.batch": ("N", "Candidates between two updates of the agent."),
    "search.budget": ("TIME", "No update begins after 90s, 20m or 1.5h of searching."),
    "search.variant": ("NAME", "paper or fixed, of agents that come as published and repaired."),
    "search.reward": (
        "KIND",
        "percentile, record, r2 or ema; of rl-pruner accuracy, macs or params; amc, agmc: accuracy, cost.",
    ),
    "search.init_policy": ("FILE", "Begin with a policy that was trained before; auto then is gat-ppo."),
    "search.freeze_encoder": ("", "Only the heads of the policy learn."),
    "search.reward_rows": ("N", "Samples that candidates are judged on; half of the search part at most."),
    "search.calibration_rows": ("N", "Samples of the fit part that candidates are repaired by."),
    "search.race": ("", "Give up candidates early that fall behind."),
    "search.workers": ("N", "Processes that evaluate; 0 for this one alone."),
    "search.scheduler": ("ADDRESS", "Evaluate on the workers of a Dask scheduler; none: leave it."),
    "prune.criterion": (
        "NAME",
        "How much a channel matters; auto takes the most promising. A search begins with it.",
    ),
    "prune.allocation": ("NAME", "How much of each group goes; given without --agent, nothing is searched."),
    "masks": ("FILE", "Masks to apply; nothing is searched."),
    **below("prune", CHANNELS),
    "shape": SHAPE,
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
    "measure.latency_cache": ("DIR", CACHE),
    "data": DATA,
    "test": ("SPEC", "Other samples, read once at the end; else the test part of --data."),
    **ROWS,
    **below("images", IMAGES),
}
FLAGS = {
    "search.batch": "--search-batch",
    "search.calibration_rows": "--search-calibration",
    "search.race": "--race/--no-race",
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
    "Search": words_of(ALL, "search"),
    "Pruning": words_of(ALL, "prune") | {"target", "masks", "shape"},
    "Reconstruction": words_of(ALL, "reconstruct"),
    "Distillation": words_of(ALL, "distill"),
    "Measurement": words_of(ALL, "measure"),
    "Data": words_of(ALL, "images") | {"data", "test", "map", "samples"},
    "Output": SECTIONS["Output"],
}
compress_options = configured_options(ALL)
