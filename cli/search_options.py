"""Options of `onnxprune search`: each is a key of the configuration, and unset unless it is given."""

from onnxprune.cli.configured import Told, configured_options, words_of
from onnxprune.cli.help import SECTIONS
from onnxprune.search.options import SCHEMA

# Key, what stands for its value, what it means. The flag is the last word of the key where none is given.
TOLD: dict[str, tuple[str, str]] = {
    "target": ("QUANTITY=BOUND", "macs=50%, params=1.2M, bytes=600KiB; repeatable."),
    "agent": ("NAME", "Who proposes; --agents lists them."),
    "evaluations": ("N", "Candidates to evaluate."),
    "batch": ("N", "Candidates between two updates of the agent."),
    "budget": ("TIME", "No update begins after 90s, 20m or 1.5h."),
    "seed": ("N", "Of random choices."),
    "prior": ("NAME", "The criterion that agents order channels by; auto takes the most promising."),
    "variant": ("NAME", "paper or fixed, of agents that come as published and repaired."),
    "reward": ("KIND", "percentile, record, r2 or ema; of rl-pruner accuracy, macs or params."),
    "agent_option": ("KEY=VALUE", "An option of the agent; repeatable."),
    "init_policy": ("FILE", "Begin with a policy that was trained before."),
    "freeze_encoder": ("", "Only the heads of the policy learn."),
    "workers": ("N", "Processes that evaluate; 0 for this one alone."),
    "scheduler": ("ADDRESS", "Evaluate on the workers of a Dask scheduler."),
    "tensorboard": ("", "Write figures for TensorBoard into RUN/search/tb."),
    "evaluate.metric": ("NAME", "auto, a metric, or package.module:function."),
    "evaluate.repair": ("NAME", "Of candidates before they are judged: least-squares, bias or none."),
    "evaluate.reward_rows": ("N", "Samples that candidates are judged on; half of the search part at most."),
    "evaluate.calibration_rows": ("N", "Samples of the fit part, for repairs and criteria."),
    "evaluate.race": ("", "Give up candidates early that fall behind."),
    "evaluate.reconstruct_final": ("", "The full repair for the comparison at the end."),
    "channels.align": ("N", "auto, or a number of channels."),
    "channels.device": ("NAME", "Where the model will run, for --align auto."),
    "channels.min_keep": ("SHARE", "Least share, or number, of channels kept in each group."),
    "channels.skip": ("REGEX", "Leave what matches alone; repeatable."),
    "channels.only": ("REGEX", "Prune only what matches; repeatable."),
    "channels.heads": ("", "Whole attention heads (or groups of a Conv)."),
    "shape": ("NAME:1,3,224,224", "Extents of a free input."),
    "data": ("SPEC", "x.npz, x.npy, a folder of them or of images, CIFAR-10, module:function."),
    "map": ("KEY=INPUT", "A key of the data for an input; repeatable."),
    "samples": ("N", "At most so many rows of each part."),
    "holdout": ("", "Leave a quarter of undivided samples alone, for a test."),
    "images.layout": ("nchw|nhwc", "What the model wants of uint8 images."),
    "images.mean": ("R,G,B", "Mean of each colour, of pixels scaled to [0, 1]."),
    "images.std": ("R,G,B", "Standard deviation of each colour."),
    "images.scale": ("FACTOR", "On the pixels, before mean and std; 1/255 by default."),
    "images.resize": ("SIZE", "256 (shorter side) or 224x224; image files only."),
    "images.crop": ("HxW", "From the middle; image files only."),
    "images.colors": ("rgb|bgr|gray", "What the model wants; image files only."),
}
FLAGS = {"evaluate.race": "--race/--no-race", "holdout": "--holdout/--no-holdout"}

ALL = Told(TOLD, SCHEMA.keys, FLAGS, aliases={"evaluations": "--episodes"})
HELP_SECTIONS = {
    "Agent": {
        *("agent", "agents", "evaluations", "episodes", "batch", "budget", "seed", "prior", "variant", "reward"),
        *("agent-option", "init-policy", "freeze-encoder"),
    },
    "Pruning": words_of(ALL, "channels") | {"target", "shape"},
    "Evaluation": words_of(ALL, "evaluate") | {"workers", "scheduler", "tensorboard"},
    "Data": words_of(ALL, "images") | {"data", "map", "samples", "holdout", "no-holdout"},
    "Output": SECTIONS["Output"],
}
search_options = configured_options(ALL)
