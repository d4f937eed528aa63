"""Masks -> accuracy of the pruned and lightly repaired model, thousands of times.

    grams = gather(groups, calibration)
    evaluator = Evaluator(groups, grams, list(reward.batches(64)))
    evaluator.evaluate(masks).accuracy

readers.py      contractions that read prunable channels
grams.py        what they read in the original, summed up once
files.py        sums and reward rows on disk, for workers and resumed runs
explained.py    what kept channels still explain of what is read, from the sums too
repairs.py      new weights for masks, from the sums alone
racing.py       bounds by which hopeless candidates are given up
rewards.py      the reward rows and their figures
evaluator.py    one candidate after the other
cache.py        evaluations by the hash of their masks
spec.py         an evaluator as paths and options, to be built in a worker
workers.py      processes, or an executor that is handed in
pool.py         many candidates, in this process, in others, or on a cluster
"""

from onnxprune.evaluation.cache import EvaluationCache
from onnxprune.evaluation.evaluator import EvaluateOptions, Evaluation, Evaluator
from onnxprune.evaluation.explained import Explained
from onnxprune.evaluation.files import gram_file, load_grams, load_rewards, reward_file
from onnxprune.evaluation.grams import GramOptions, Grams, gather
from onnxprune.evaluation.pool import Pool, Scored
from onnxprune.evaluation.repairs import METHODS, Method, Repairs
from onnxprune.evaluation.spec import EvaluatorSpec
from onnxprune.evaluation.workers import check_scheduler, dask_executor

__all__ = [
    "METHODS",
    "EvaluateOptions",
    "Evaluation",
    "EvaluationCache",
    "Evaluator",
    "EvaluatorSpec",
    "Explained",
    "GramOptions",
    "Grams",
    "Method",
    "Pool",
    "Repairs",
    "Scored",
    "check_scheduler",
    "dask_executor",
    "gather",
    "gram_file",
    "load_grams",
    "load_rewards",
    "reward_file",
]
