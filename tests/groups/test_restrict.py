"""`--skip` and `--only`: parts of a model that are left alone, by name."""

from pathlib import Path

import pytest

from onnxprune.errors import UsageError
from onnxprune.groups import Groups, find_groups
from onnxprune.groups.restrict import restrict
from onnxprune.onnx_file import load_graph
from tests.exported import export_case
from tests.law.build import model, save

BODY = """
    [stem] c = Conv(x, w1, b1)
    [relu] r = Relu(c)
    [branch_a] a = Conv(r, wa)
    [branch_b] b = Conv(r, wb)
    [join] s = Concat<axis=1>(a, b)
    [neck] d = Conv(s, w2)
    [pool] p = GlobalAveragePool(d)
    [flat] f = Flatten(p)
    [head] y = Gemm<transB=1>(f, fc, fcb)
"""


@pytest.fixture
def groups(tmp_path: Path) -> Groups:
    """Four groups: stem, branch_a, branch_b, neck."""
    weights = {"w1": (8, 3, 1, 1), "b1": 8, "wa": (4, 8, 1, 1), "wb": (6, 8, 1, 1), "w2": (7, 10, 1, 1)}
    made = model("float[N,3,4,4] x => float[N,5] y", BODY, **weights, fc=(5, 7), fcb=5)
    return find_groups(load_graph(save(made, tmp_path)))


def free(groups: Groups) -> list[str]:
    return [group.anchor for group in groups.prunable]


def test_without_patterns_nothing_changes(groups: Groups) -> None:
    assert free(restrict(groups)) == free(groups) == ["stem", "branch_a", "branch_b", "neck"]


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("^stem$", ["branch_a", "branch_b", "neck"]),
        ("head", ["stem", "branch_a", "branch_b"]),
        ("^neck$", ["stem"]),  # neither what it reads nor what it writes may change
        ("branch_a", ["branch_b", "neck"]),
        ("^join$", ["stem", "neck"]),
        ("relu", ["branch_a", "branch_b", "neck"]),
        ("^wa$", ["branch_b", "neck"]),
        ("^b1$", ["branch_a", "branch_b", "neck"]),
        (".", []),
    ],
)
def test_what_is_skipped_keeps_all_its_shapes(groups: Groups, pattern: str, left: list[str]) -> None:
    found = restrict(groups, skip=[pattern])
    assert free(found) == left
    reasons = {group.frozen for group in found if groups[group.name].frozen is None and group.frozen}
    assert reasons == {f"left alone by --skip {pattern!r}"}


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (["^stem$"], ["stem"]),
        (["branch"], ["branch_a", "branch_b"]),
        (["neck", "stem"], ["stem", "neck"]),
        (["^w2$"], ["neck"]),
        (["^b1$"], ["stem"]),
        (["head"], []),
    ],
)
def test_only_what_matching_nodes_produce_stays_prunable(
    groups: Groups, patterns: list[str], left: list[str]
) -> None:
    assert free(restrict(groups, only=patterns)) == left


def test_skip_takes_away_from_only(groups: Groups) -> None:
    assert free(restrict(groups, only=["branch"], skip=["^wb$"])) == ["branch_a"]


def test_several_skips_add_up(groups: Groups) -> None:
    assert free(restrict(groups, skip=["^wa$", "^wb$"])) == ["neck"]


def test_earlier_reasons_stay(groups: Groups) -> None:
    head = next(group for group in groups if group.anchor == "head")
    assert "graph output" in (head.frozen or "")
    assert restrict(groups, skip=["head"])[head.name].frozen == head.frozen


def test_the_original_groups_are_untouched(groups: Groups) -> None:
    restrict(groups, skip=["."])
    assert len(groups.prunable) == 4


@pytest.mark.parametrize("option", ["skip", "only"])
def test_a_pattern_that_matches_nothing_names_what_is_close(groups: Groups, option: str) -> None:
    with pytest.raises(UsageError) as caught:
        restrict(groups, **{option: ["haed.*"]})
    assert caught.value.code == "E204"
    assert caught.value.message == f"--{option} 'haed.*' matches no node and no initializer"
    assert caught.value.hint.startswith("closest names: head")


def test_a_pattern_that_is_no_regular_expression_is_refused(groups: Groups) -> None:
    with pytest.raises(UsageError, match="is not a regular expression") as caught:
        restrict(groups, skip=["(head"])
    assert caught.value.code == "E204"


def test_module_paths_of_the_exporter_are_matched(exported_folder: Path) -> None:
    groups = find_groups(load_graph(export_case("residual", "dynamo", exported_folder)))
    assert not any("branches" in node.name for node in groups.graph.nodes)  # only the metadata has them
    some = restrict(groups, only=[r"^1\.0\.branches\.0\.0$"])
    assert 0 < len(some.prunable) < len(groups.prunable)
    rest = restrict(groups, skip=[r"^1\.0\.branches\.0\.0$"])
    assert not set(free(some)) & set(free(rest))
