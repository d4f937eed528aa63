"""Somebody else's agent on a pruning problem: a plain PPO that knows Gymnasium, torch and nothing of pruning.

    python examples/gymnasium_ppo.py --episodes 400

The model is a small convolutional net made here, the score the share of inputs for which the pruned net still
answers as the original does, from real outputs of ONNX Runtime. The agent sees observations, sets bits and is
told rewards; random bits on the same environment, with as many episodes, are what it has to beat.

The agent follows CleanRL's ppo.py (Huang et al., 2022): one network, clipped ratio of the joint action,
normalised advantages. Needs: pip install "onnxprune[gymnasium,torch]"
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import get_args

import gymnasium
import numpy as np
import onnx
import onnxruntime as ort
import torch
from gymnasium.wrappers import FlattenObservation
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Bernoulli

from onnxprune import Constraints, CostModel, Groups, Masks, find_groups, load_graph, parse_target, prune
from onnxprune.environment import EpisodeOptions, Task
from onnxprune.environment.episodes import Kind
from onnxprune.environment.gym import PruningEnv
from onnxprune.target import resolve_align

Env = gymnasium.Env[NDArray[np.float32], NDArray[np.int8]]
WIDTHS = (3, 16, 24, 32)
CLASSES = 10
SAMPLES = 256
GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[N, 3, 16, 16] x) => (float[N, 10] y)
{
    a = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (x, w0)
    ar = Relu(a)
    b = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (ar, w1)
    br = Relu(b)
    c = Conv <pads = [1, 1, 1, 1]> (br, w2)
    cr = Relu(c)
    p = GlobalAveragePool(cr)
    f = Flatten(p)
    y = Gemm(f, w3, bias)
}
"""


@dataclass(frozen=True)
class Options:
    """CleanRL's names.

    Attributes:
        episodes: In all.
        batch: Episodes between two updates.
        learning_rate: Of Adam.
        update_epochs: Passes over each batch.
        clip_coef: Of the ratio.
        gae_lambda: For walks of several steps; the discount is 1.
        ent_coef: Weight of the entropy.
        vf_coef: Weight of the value loss.
        max_grad_norm: Of all parameters together.
    """

    episodes: int = 400
    batch: int = 16
    learning_rate: float = 1e-2
    update_epochs: int = 4
    clip_coef: float = 0.2
    gae_lambda: float = 0.95
    ent_coef: float = 0.0
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5


def make_model(path: Path, inputs: NDArray[np.float32], rng: np.random.Generator) -> None:
    """A net with fixed random weights, in which some channels matter much more than others."""
    model = onnx.parser.parse_model(GRAPH)
    weights = {}
    for number, (before, after) in enumerate(pairwise(WIDTHS)):
        size = np.exp(rng.normal(0, 0.8, (after, 1, 1, 1))) / np.sqrt(9 * before)
        weights[f"w{number}"] = size * rng.standard_normal((after, before, 3, 3))
    weights["w3"] = rng.standard_normal((WIDTHS[-1], CLASSES)) / np.sqrt(WIDTHS[-1])
    weights["bias"] = np.zeros(CLASSES)
    for name, values in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))
    mean = outputs_of(model, inputs).mean(0)  # all classes shall occur
    model.graph.initializer[-1].CopyFrom(onnx.numpy_helper.from_array(-mean, "bias"))
    onnx.save(model, path)


def outputs_of(model: onnx.ModelProto, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 10)"""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": inputs})[0])


def agreement(groups: Groups, inputs: NDArray[np.float32]) -> Callable[[Masks], float]:
    """The score: on which share of the inputs the pruned net answers as the original."""
    wanted = outputs_of(groups.graph.model, inputs).argmax(1)
    return lambda masks: float((outputs_of(prune(groups, masks), inputs).argmax(1) == wanted).mean())


def make_env(folder: Path, *, seed: int, kind: Kind = "one-shot") -> Env:
    """The environment as other people's agents like it: one flat vector, one bit a channel."""
    rng = np.random.default_rng(seed)
    path = folder / "net.onnx"
    inputs = rng.standard_normal((SAMPLES, 3, 16, 16)).astype(np.float32)
    make_model(path, inputs, rng)
    groups = find_groups(load_graph(path))
    constraints = Constraints(resolve_align("1"))
    task = Task.of(CostModel(groups), target=parse_target(["macs=50%"]), constraints=constraints)
    env = PruningEnv(task, agreement(groups, inputs), options=EpisodeOptions(kind))
    return FlattenObservation(env)


class Agent(nn.Module):
    """Actor and critic; the actor gives one logit a channel."""

    def __init__(self, observation: int, bits: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(observation, 64), nn.Tanh())
        self.actor = nn.Linear(64, bits)
        self.critic = nn.Linear(64, 1)
        nn.init.normal_(self.actor.weight, std=0.01)
        nn.init.zeros_(self.actor.bias)

    def forward(self, observations: Tensor) -> tuple[Bernoulli, Tensor]:
        hidden = self.trunk(observations)  # (B, 64)
        return Bernoulli(logits=self.actor(hidden)), self.critic(hidden).squeeze(-1)


@dataclass(frozen=True)
class Batch:
    """Steps of whole episodes in a row.

    Attributes:
        observations: (S, O)
        actions: (S, C)
        logprobs: (S,) of the whole action.
        advantages: (S,)
        returns: (S,)
    """

    observations: Tensor
    actions: Tensor
    logprobs: Tensor
    advantages: Tensor
    returns: Tensor


@torch.no_grad()
def roll_out(env: Env, agent: Agent, options: Options) -> tuple[Batch, list[float]]:
    """A batch of episodes, and the accuracy at the end of each."""
    steps: list[tuple[Tensor, Tensor, Tensor]] = []
    advantages: list[float] = []
    returns: list[float] = []
    accuracies = []
    for _ in range(options.batch):
        observation, _ = env.reset()
        values, rewards, done = [], [], False
        while not done:
            seen = torch.as_tensor(observation, dtype=torch.float32)
            policy, value = agent(seen)
            action = policy.sample()
            observation, reward, done, _, info = env.step(action.numpy().astype(np.int8))
            steps.append((seen, action, policy.log_prob(action).sum()))
            values.append(float(value))
            rewards.append(float(reward))
        found = gae(rewards, values, options.gae_lambda)
        advantages += found
        returns += [a + v for a, v in zip(found, values, strict=True)]
        accuracies.append(float(info["accuracy"]))
    seen_all, actions, logprobs = (torch.stack(column) for column in zip(*steps, strict=True))
    return Batch(seen_all, actions, logprobs, torch.tensor(advantages), torch.tensor(returns)), accuracies


def gae(rewards: list[float], values: list[float], decay: float) -> list[float]:
    """Advantages of one episode (Schulman et al., 2016), discount 1."""
    advantages, following, next_value = [], 0.0, 0.0
    for reward, value in zip(reversed(rewards), reversed(values), strict=True):
        following = reward + next_value - value + decay * following
        advantages.append(following)
        next_value = value
    return advantages[::-1]


def update(agent: Agent, optimizer: torch.optim.Optimizer, batch: Batch, options: Options) -> None:
    """Some epochs of clipped policy gradient on one batch; changes the agent in place."""
    advantages = (batch.advantages - batch.advantages.mean()) / (batch.advantages.std() + 1e-8)
    for _ in range(options.update_epochs):
        policy, values = agent(batch.observations)
        ratio = (policy.log_prob(batch.actions).sum(1) - batch.logprobs).exp()
        clipped = ratio.clamp(1 - options.clip_coef, 1 + options.clip_coef)
        pg_loss = -torch.min(ratio * advantages, clipped * advantages).mean()
        v_loss = (values - batch.returns).square().mean()
        loss = pg_loss + options.vf_coef * v_loss - options.ent_coef * policy.entropy().sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(agent.parameters(), options.max_grad_norm)
        optimizer.step()


def train(env: Env, options: Options, *, seed: int) -> list[float]:
    """The accuracy of every episode; prints how learning goes."""
    torch.manual_seed(seed)
    observation, _ = env.reset(seed=seed)
    agent = Agent(len(observation), len(env.action_space.sample()))
    optimizer = torch.optim.Adam(agent.parameters(), lr=options.learning_rate, eps=1e-5)
    accuracies: list[float] = []
    while len(accuracies) < options.episodes:
        batch, found = roll_out(env, agent, options)
        update(agent, optimizer, batch, options)
        accuracies += found
        if len(accuracies) % (4 * options.batch) == 0:
            print(f"episode {len(accuracies):5d}  mean {np.mean(found):.3f}  best {max(accuracies):.3f}")
    return accuracies


def play_randomly(env: Env, episodes: int, *, seed: int) -> list[float]:
    """The accuracy of every episode with random bits."""
    env.action_space.seed(seed)
    env.reset(seed=seed)
    accuracies = []
    for _ in range(episodes):
        env.reset()
        done = False
        while not done:
            _, _, done, _, info = env.step(env.action_space.sample())
        accuracies.append(float(info["accuracy"]))
    return accuracies


def at_least(least: int) -> Callable[[str], int]:
    """A type for argparse: whole numbers from `least` on."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is no whole number of at least {least}")
        return int(text)

    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--episodes", type=at_least(1), default=400)
    parser.add_argument("--kind", choices=get_args(Kind), default="one-shot")
    parser.add_argument("--seed", type=at_least(0), default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        env = make_env(Path(folder), seed=arguments.seed, kind=arguments.kind)
        begun = time.perf_counter()
        learned = train(env, Options(episodes=arguments.episodes), seed=arguments.seed)
        seconds = time.perf_counter() - begun
        drawn = play_randomly(env, len(learned), seed=arguments.seed)
    tail = len(learned) // 4
    print(f"{len(learned)} episodes in {seconds:.0f} s; agreement with the original at half the MACs:")
    print(f"  PPO      best {max(learned):.3f}   mean of the last quarter {np.mean(learned[-tail:]):.3f}")
    print(f"  random   best {max(drawn):.3f}   mean {np.mean(drawn):.3f}")


if __name__ == "__main__":
    main()
