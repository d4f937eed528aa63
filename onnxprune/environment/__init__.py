"""The pruning of a model as episodes with rewards: knows costs, but no operators, data or ONNX Runtime.

task.py          Task: what an episode is about, checked before any work
decoding.py      from sampled bits to valid masks within the bounds
episodes.py      Episode: one-shot, rounds or group-wise
rewards.py       SelfCompetition: masks judged against the agent's own past; violation
lagrangian.py    Multiplier and penalised: bounds held by the reward
judging.py       Judge: one reward whichever way bounds are held
gym.py           PruningEnv: all of it as a Gymnasium environment; imported by name, needs gymnasium
"""

from onnxprune.environment.episodes import Episode, EpisodeOptions
from onnxprune.environment.judging import Judge, RewardOptions
from onnxprune.environment.lagrangian import OMNISAFE, LagrangianOptions, Multiplier, penalised
from onnxprune.environment.rewards import FEASIBLE, SelfCompetition, violation
from onnxprune.environment.task import Task

__all__ = [
    "FEASIBLE",
    "OMNISAFE",
    "Episode",
    "EpisodeOptions",
    "Judge",
    "LagrangianOptions",
    "Multiplier",
    "RewardOptions",
    "SelfCompetition",
    "Task",
    "penalised",
    "violation",
]
