"""What decides how AGMC looks and walks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from onnxprune.agents.ddpg import options as shared
from onnxprune.agents.options import require


@dataclass(frozen=True)
class AgmcOptions(shared.DdpgOptions):
    """Options of the agent, beside those of `DdpgOptions`.

    Attributes:
        features: Of the feature maps: "structural": what is told of the node that makes each; "random":
            numbers that mean nothing, as published, with every filter a vertex of its own.
        learning: Of encoder and decoder: "joint": both losses reach them; "none": they stay as they were
            drawn, as in the authors' code.
        recall: What the decoder remembers: "episode": all steps so far; "step": the last state alone, its own
            memory empty, as in the authors' code.
        rescaling: Of the walked actions to the target: "bisection", on the true cost, from both sides;
            "algorithm-1": the paper's, one pass of a linear cost, upwards alone.
        width: Of a vertex between the layers of the encoder.
        embedding: Of the graph and of a state (d).
        layers: Of the encoder.
        embedding_rate: Learning rate of encoder and decoder (Adam).
        most: Largest share of a group that is removed (a_max), as far as the target allows.
        stages: Walks of an episode; each removes from what the one before has left, the same share of the
            cost in each.
        init_policy: A file that an earlier search, perhaps of another model, has left.
        freeze_encoder: The encoder does not learn.
        freeze_agent: Actor and critic do not learn.
    """

    features: Literal["structural", "random"] = "structural"
    learning: Literal["joint", "none"] = "joint"
    recall: Literal["episode", "step"] = "episode"
    rescaling: Literal["bisection", "algorithm-1"] = "bisection"
    width: int = 50
    embedding: int = 32
    layers: int = 2
    embedding_rate: float = 1e-3
    most: float = 0.8
    stages: int = 1
    init_policy: str = ""
    freeze_encoder: bool = False
    freeze_agent: bool = False

    def __post_init__(self) -> None:
        """Raises: ValueError: a value that is unknown or out of its range."""
        super().__post_init__()
        sizes = (self.width, self.embedding, self.layers, self.stages)
        require(min(sizes) >= 1, "width, embedding, layers and stages are at least 1")
        require(self.embedding_rate > 0, "embedding_rate is above 0")
        require(0 < self.most < 1, "most lies between 0 and 1")
        require(
            not (self.freeze_agent and self.learning == "none"),
            "freeze_agent leaves nothing that learns where learning is none",
        )
        require(
            not (self.freeze_agent and not self.init_policy),
            "freeze_agent: without a policy (--init-policy) actor and critic are random, and would stay so",
        )


PAPER: Mapping[str, Any] = {
    **shared.PAPER,
    "criterion": "l2",
    "features": "random",
    "learning": "none",
    "recall": "step",
    "rescaling": "algorithm-1",
    "embedding": 11,
    "memory": 100,
    "warm_up": 25 / 325,
}
