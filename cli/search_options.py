"""Options of `onnxprune search`: each is a key of the configuration, and unset unless it is given."""

from onnxprune.cli.configured import Told, configured_options, words_of
from onnxprune.cli.help import SECTIONS
from onnxprune.cli.option_texts import CACHE, CHANNELS, DATA, IMAGES, ROWS, SHAPE, below
from onnxprune.search.options import SCHEMA

# Key, what stands for its value, what it means. The flag is the last word of the key where none is given.
TOLD: dict[str, tuple[str, str]] = {
    "target": ("QUANTITY=BOUND", "macs=50%, params=1.2M, bytes=600KiB, latency=4ms; repeatable."),
    "agent": ("NAME", "Who proposes; --agents lists them."),
    "evaluations": ("N", "Candidates to evaluate."),
    "batch": ("N", "Candidates between two updates of the agent."),
    "budget": ("TIME", "No update begins after 90s, 20m or 1.5h."),
    "seed": ("N", "Of random choices."),
    "prior": ("NAME", "The criterion that agents order channels by; auto takes the most promising."),
    "variant": ("NAME", "paper or fixed, of agents that come as published and repaired."),
    "reward": (
        "KIND",
        "percentile, record, r2 or ema; of rl-pruner accuracy, macs or params; amc, agmc: accuracy, cost.",
    ),
    "agent_option": ("KEY=VALUE", "An option of the agent; repeatable."),
    "init_policy": ("FILE", "Begin with a policy that was trained before."),
    "freeze_encoder": ("", "Only the heads of the policy learn."),
    "workers": ("N", "Processes that evaluate; 0 for this one alone."),
    "scheduler": ("ADDRESS", "Evaluate on the workers of a Dask scheduler; none: leave it."),
    "tensorboard": ("", "Write figures for TensorBoard into RUN/search/tb."),
    "evaluate.metric": ("NAME", "auto, a metric, or package.module:function."),
    "evaluate.repair": (
        "NAME",
        "Of candidates before they are judged: least-squares, moments, bias or none.",
    ),
    "evaluate.reward_rows": ("N", "Samples that candidates are judged on; half of the search part at most."),
    "evaluate.calibration_rows": ("N", "Samples of the fit part, for repairs and criteria."),
    "evaluate.race": ("", "Give up candidates early that fall behind."),
    "evaluate.reconstruct_final": ("", "The full repair for the comparison at the end."),
    **below("channels", CHANNELS),
    "latency.threads": ("N", "Of one operator, where latency is bounded; with one by processor time."),
    "latency.require": ("", "Fail where --device does not run the model."),
    "latency.cache": ("DIR", CACHE),
    "shape": SHAPE,
    "data": DATA,
    **ROWS,
    "holdout": ("", "Leave a quarter of undivided samples alone, for a test."),
    **below("images", IMAGES),
}
FLAGS = {
    "evaluate.race": "--race/--no-race",
    "holdout": "--holdout/--no-holdout",
    "latency.require": "--require-provider",
    "latency.cache": "--latency-cache",
}

ALL = Told(TOLD, SCHEMA.keys, FLAGS, aliases={"evaluations": "--episodes"})
HELP_SECTIONS = {
    "Agent": {
        *("agent", "agents", "evaluations", "episodes", "batch", "budget", "seed", "prior", "variant"),
        *("reward", "agent-option", "init-policy", "freeze-encoder"),
    },
    "Pruning": words_of(ALL, "channels") | {"target", "shape"},
    "Latency": words_of(ALL, "latency"),
    "Evaluation": words_of(ALL, "evaluate") | {"workers", "scheduler", "tensorboard"},
    "Data": words_of(ALL, "images") | {"data", "map", "samples", "holdout", "no-holdout"},
    "Output": SECTIONS["Output"],
}
search_options = configured_options(ALL)
