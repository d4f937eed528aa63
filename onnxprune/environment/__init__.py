"""The pruning of a model as episodes with rewards: knows costs, but no operators, data or ONNX Runtime.

task.py          Task: what an episode is about, checked before any work
decoding.py      from sampled bits to valid masks within the bounds
episodes.py      Episode: one-shot, rounds or group-wise
rewards.py       SelfCompetition: masks judged against the agent's own past; violation
"""

from onnxprune.environment.episodes import Episode, EpisodeOptions
from onnxprune.environment.rewards import FEASIBLE, SelfCompetition, violation
from onnxprune.environment.task import Task

__all__ = ["FEASIBLE", "Episode", "EpisodeOptions", "SelfCompetition", "Task", "violation"]
