"""The inputs of the checks that run, and what the original answers to them."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np

from onnxprune.onnx_file import Graph
from onnxprune.verification.compare import distance, same, tolerance_of
from onnxprune.verification.feeds import Shapes, batch_shapes, random_feeds
from onnxprune.verification.sessions import Arrays, CannotRun, Runnable, Session
from onnxprune.verification.types import Feeds, VerifyOptions

LIMITS = (None, 2, 1)  # bounds for integer inputs, tried until the original takes them


@dataclass(frozen=True)
class Trial:
    """Feeds that the original runs on.

    Attributes:
        feeds: The samples, then random ones of one or two batches.
        answers: Of the original, without optimisations.
        exact: The same input gave the same bits twice.
        note: What the user should know about the inputs.
    """

    feeds: list[Feeds]
    answers: list[Arrays]
    exact: bool
    note: str


def try_original(graph: Graph, source: Runnable, samples: Iterable[Feeds], options: VerifyOptions) -> Trial:
    """Feed the original.

    Raises:
        CannotRun: It does not run here, or not twice alike; nothing can be proven by running it.
    """
    untyped = [value.name for value in graph.inputs if value.name not in graph.assumed or value.dtype is None]
    if untyped:
        raise CannotRun(f"input {untyped[0]!r} is no tensor of a known rank")
    session = Session(source, optimised=False)
    feeds: list[Feeds] = [dict(feed) for feed in islice(samples, options.inputs)]
    answers = [session.run(feed) for feed in feeds]
    given, refusals = len(feeds), []
    for number, shapes in enumerate(batch_shapes(graph)):
        try:
            feed, answer = random_trial(graph, session, shapes, options.seed + number)
        except CannotRun as refusal:
            refusals.append(str(refusal))
            continue
        feeds.append(feed)
        answers.append(answer)
    if not feeds:
        raise CannotRun(f"the original does not run on random inputs: {refusals[0]}")
    again = [session.run(feeds[0])]
    if distance(again, answers[:1], tolerance_of(graph, options)).fault:
        raise CannotRun("the original answers one input in two ways (an operator draws random numbers)")
    note = f"{given} sample{'s' * (given != 1)} and {len(feeds) - given} random" if given else "random"
    if refusals:
        note += f"; the original refuses {len(refusals)} of the random ones"
    return Trial(feeds, answers, same(again, answers[:1]), note)


def random_trial(graph: Graph, session: Session, shapes: Shapes, seed: int) -> tuple[Feeds, Arrays]:
    """A random feed that the original takes, and its answer.

    Raises:
        CannotRun: It takes none of them.
    """
    for limit in LIMITS:
        feed = random_feeds(graph, shapes, np.random.default_rng(seed), limit=limit)
        try:
            return feed, session.run(feed)
        except CannotRun as refusal:
            reason = refusal
            if not any(value.dtype is not None and value.dtype.kind in "iu" for value in graph.inputs):
                break
    raise reason
