"""What is checked before there is a study: nothing that can be known at once may come up after days."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxprune.compression.checks import check_distinct, check_parts
from onnxprune.compression.checks import check_values as check_compression
from onnxprune.compression.inputs import open_parts
from onnxprune.compression.training import check_training, require_torch
from onnxprune.cost import CostModel
from onnxprune.errors import OnnxPruneError, UsageError
from onnxprune.latency import Step, ignore
from onnxprune.measurement.choice import choose_metric
from onnxprune.onnx_file import load_graph
from onnxprune.pipeline import load_groups
from onnxprune.runs.begin import whole_path
from onnxprune.runs.identity import data_hash, model_hash
from onnxprune.runs.parts import FitAndSearch
from onnxprune.search import Opened
from onnxprune.search.agents import require_packages
from onnxprune.search.inputs import check_values, counting, prune_options
from onnxprune.search.searching import check_search
from onnxprune.study.agent_text import with_policy
from onnxprune.study.cells import Cell, Row, policies_of, require_distinct, rows_of
from onnxprune.study.options import SCHEMA, StudyOptions

NOWHERE = Path()


def located(options: StudyOptions) -> StudyOptions:
    """The same with whole paths, so that the study can go on from another folder; checked for their types."""
    options = SCHEMA.checked(options)
    given = (options.test, options.measure.latency_cache)
    test, cache = (None if spec is None else whole_path(spec) for spec in given)
    models = tuple(str(Path(model).absolute()) for model in options.models)
    agents = tuple(with_policy(agent, whole_path) for agent in options.agents)
    measure = replace(options.measure, latency_cache=cache)
    data = whole_path(options.data)
    return replace(options, models=models, agents=agents, data=data, test=test, measure=measure)


def check_study(options: StudyOptions, progress: Step = ignore) -> dict[str, CostModel]:
    """Whether every search, and the training of what it finds, can begin.

    Args:
        options: Of the study.
        progress: Called with what was measured so far, where a target bounds the latency.

    Returns:
        What counts the target of each case, by its name: all agents of a case have the same.

    Raises:
        OnnxPruneError: What a search, or a compression, of one of the cells would refuse; with its name.
    """
    least = {"seeds": 1, "evaluations": 1, "batch": 1, "distill.top": 1}
    values = {**vars(options), "distill.top": options.distill.top}
    for key, smallest in least.items():
        if values[key] < smallest:
            raise UsageError("E201", f"{key} = {values[key]}: must be at least {smallest}")
    if not all(target.split() for target in options.targets):
        raise UsageError("E202", "targets has an empty text", hint='bounds such as targets = ["macs=50%"]')
    require_distinct(options)
    if options.distill.enabled:
        require_torch()
    rows = rows_of(options)
    for row in rows:
        check_agent(row, options)
    counted: dict[str, CostModel] = {}
    for model in options.models:
        counted |= check_model([row for row in rows if row.model == model], options, progress)
    return counted


def check_agent(row: Row, options: StudyOptions) -> None:
    """Raises: OnnxPruneError: An agent that is not known, options that make no sense, a missing package."""
    asked = Cell(row, options.seed).search(options)
    try:
        check_values(asked)
        require_packages(asked)
    except OnnxPruneError as error:
        raise told_of(error, row) from error


def check_model(rows: list[Row], options: StudyOptions, progress: Step) -> dict[str, CostModel]:
    """What counts the targets on one model, by the name of the case.

    Raises:
        OnnxPruneError: The model, its samples, an agent's option or a target that cannot be used.
    """
    first = Cell(rows[0], options.seed)
    made = first.compression(options, NOWHERE, trained=options.distill.enabled)
    check_compression(made)
    groups = load_groups(Path(made.model), prune_options(first.search(options)))
    parts = open_parts(made, groups.graph)
    check_parts(choose_metric(options.test_metric, groups.graph, parts.search), parts, groups.graph)
    if options.distill.enabled:
        check_training(made, groups.graph, rows=parts.fit.count or 1)
    counted: dict[str, CostModel] = {}
    for row in rows:
        asked = Cell(row, options.seed).search(options)
        try:
            if row.case not in counted:
                counted[row.case] = counting(groups, prune_options(asked), progress)
            samples = FitAndSearch(parts.fit, parts.search)
            check_search(asked, Opened(groups, samples, {}, counted[row.case]))
        except OnnxPruneError as error:
            raise told_of(error, row) from error
    return counted


def told_of(error: OnnxPruneError, row: Row) -> OnnxPruneError:
    """The same error, with the search that it is of."""
    message = f"{row.stem}, {row.target}, {row.agent}: {error.message}"
    return type(error)(error.code, message, cause=error.cause, hint=error.hint)


def identity(options: StudyOptions) -> dict[str, Any]:
    """sha256 of the models with their weights files, by name, of the samples, and of policies by agent.

    Raises:
        ModelError: A model cannot be read.
        DataError: E504, the samples for the test are those to learn and choose by, in another file.
    """
    models = {Path(model).name: model_hash(load_graph(Path(model))) for model in options.models}
    test = None if options.test is None else data_hash(options.test)
    samples = {"data": data_hash(options.data), "test": test}
    made = Cell(rows_of(options)[0], options.seed).compression(options, NOWHERE, trained=False)
    check_distinct(made, samples)
    policies = {agent: data_hash(path) for agent, path in policies_of(options).items()}
    return {**models, **samples, **policies}
