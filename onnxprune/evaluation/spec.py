"""An evaluator as paths and options: small to send, built once where it arrives."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from onnxprune.errors import UsageError
from onnxprune.evaluation.evaluator import EvaluateOptions, Evaluator
from onnxprune.evaluation.files import UNREADABLE, load_grams, load_rewards
from onnxprune.evaluation.grams import Grams
from onnxprune.groups import Groups, find_groups
from onnxprune.onnx_file import load_graph
from onnxprune.runs.identity import model_hash

Shapes = tuple[tuple[str, tuple[int, ...]], ...]
NOTHING: Grams = {}


@dataclass(frozen=True)
class EvaluatorSpec:
    """What an evaluator is made of. Workers on other machines must see the files under the same paths.

    Attributes:
        model: The original's file.
        sha256: Of it, as `runs.identity.model_hash` gives it.
        rewards: File of the reward rows, from `reward_file`.
        grams: File of the sums, from `gram_file`; "" where nothing is repaired.
        shapes: Extents that were assumed for inputs with free ones, by name.
        heads: Whole attention heads are one channel.
        options: How to judge.
    """

    model: str
    sha256: str
    rewards: str
    grams: str = ""
    shapes: Shapes = ()
    heads: bool = False
    options: EvaluateOptions = field(default_factory=EvaluateOptions)

    @staticmethod
    def of(
        groups: Groups,
        rewards: Path,
        grams: Path | None,
        *,
        options: EvaluateOptions | None = None,
        heads: bool = False,
    ) -> "EvaluatorSpec":
        """The spec of an evaluator for groups that were found in this process.

        Args:
            groups: Of the original; which of them a user froze does not matter here.
            rewards: From `reward_file`.
            grams: From `gram_file`; None where nothing is repaired.
            options: How to judge.
            heads: Whether they were found so.
        """
        graph = groups.graph
        names = {value.name for value in graph.inputs}
        shapes = tuple((n, tuple(shape)) for n, shape in graph.assumed.items() if n in names)
        return EvaluatorSpec(
            model=str(graph.path.resolve()),
            sha256=model_hash(graph),
            rewards=str(rewards.resolve()),
            grams="" if grams is None else str(grams.resolve()),
            shapes=shapes,
            heads=heads,
            options=options or EvaluateOptions(),
        )

    def build(self) -> Evaluator:
        """The evaluator.

        Raises:
            UsageError: E208, the model or the sums are not those that the spec was made for.
            OnnxPruneError: As `load_graph`, `load_rewards` and `Evaluator`.
        """
        graph = load_graph(Path(self.model), shapes=dict(self.shapes))
        if model_hash(graph) != self.sha256:
            raise UsageError("E208", f"{self.model} is not the model that the search began with")
        groups = find_groups(graph, heads=self.heads)
        return Evaluator(groups, self._grams(), load_rewards(Path(self.rewards)), self.options)

    def _grams(self) -> Grams:
        if not self.grams:
            return NOTHING
        try:
            return load_grams(Path(self.grams))
        except UNREADABLE as error:
            raise UsageError("E208", f"{self.grams} cannot be read", cause=str(error)) from error


@lru_cache(maxsize=1)
def evaluator_of(spec: EvaluatorSpec) -> Evaluator:
    """The evaluator, built when it is first asked for."""
    return spec.build()
