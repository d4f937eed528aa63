"""Features and edges of models that can be counted by hand."""

import numpy as np
import pytest

from onnxprune.cost import CostModel
from onnxprune.criteria import CRITERIA, score
from onnxprune.observation import observe
from onnxprune.observation.criteria import ALWAYS
from onnxprune.observation.scaling import ranks
from tests.observation.conftest import Observe, Observed

CHAIN = """
a = Conv(x, w0, b0)
r = Relu(a)
y = Conv<strides=[2,2]>(r, w1)
"""
ENDS = "float[N,3,8,8] x => float[N,4,3,3] y"


@pytest.fixture
def chain(observation_of: Observe) -> Observed:
    return observation_of(ENDS, CHAIN, w0=(16, 3, 3, 3), b0=16, w1=(4, 16, 2, 2))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_a_channel_knows_its_maker_and_its_reader(chain: Observed) -> None:
    assert {tuple(chain.nodes_of("made_by", c)) for c in range(16)} == {("a",)}
    assert {tuple(chain.nodes_of("read_by", c)) for c in range(16)} == {("y",)}
    flows = chain.edges("flows_to").index
    assert [(chain.graph.node_names[a], chain.graph.node_names[b]) for a, b in flows.T] == [
        ("a", "r"),
        ("r", "y"),
    ]


def test_edges_weigh_as_much_as_the_slices_of_the_weights(chain: Observed) -> None:
    made, read = (chain.groups.graph.initializers[name].array() for name in ("w0", "w1"))
    for relation, norms in (
        ("made_by", np.sqrt(np.square(made).sum((1, 2, 3)))),
        ("read_by", np.sqrt(np.square(read).sum((0, 2, 3)))),
    ):
        usual = np.sqrt(np.mean(np.square(norms)))
        np.testing.assert_allclose(chain.edges(relation).weight, norms / usual, rtol=1e-5)


def test_families_and_places_of_nodes(chain: Observed) -> None:
    assert chain.node_feature("contraction") == {"a": 1, "r": 0, "y": 1}
    assert chain.node_feature("activation") == {"a": 0, "r": 1, "y": 0}
    assert chain.node_feature("depth") == {"a": 0, "r": 0.5, "y": 1}
    assert chain.node_feature("stride") == {"a": 0, "r": 0, "y": 1}
    assert chain.node_feature("kernel")["y"] == 1
    assert chain.node_feature("prunable output") == {"a": 1, "r": 1, "y": 0}
    assert sum(chain.node_feature("macs share").values()) == pytest.approx(1)


def test_features_are_told_in_ranks_and_in_deviations(chain: Observed) -> None:
    l1 = np.abs(chain.groups.graph.initializers["w0"].array()).sum((1, 2, 3))
    np.testing.assert_allclose(chain.feature("l1 rank"), np.argsort(np.argsort(l1)) / 15, rtol=1e-6)
    assert chain.feature("l1").mean() == pytest.approx(0, abs=1e-5)
    assert chain.feature("l1").std() == pytest.approx(1, abs=1e-5)
    assert (np.argsort(chain.feature("l1")) == np.argsort(l1)).all()
    bias = chain.groups.graph.initializers["b0"].array()
    assert (np.argsort(chain.feature("bias")) == np.argsort(bias)).all()


def test_what_is_missing_is_told(chain: Observed) -> None:
    name = chain.groups.prunable[0].name
    graph = observe(chain.groups, CostModel(chain.groups), {"wanda": {}, "obs": {name: np.full(16, np.nan)}})
    seen = Observed(chain.groups, graph)
    for criterion in ("wanda", "obs", "fpgm"):
        assert (seen.feature(f"{criterion} missing") == 1).all()
        assert (seen.feature(criterion) == 0).all()
        assert (seen.feature(f"{criterion} rank") == 0).all()
    assert (seen.feature("l1 missing") == 0).all()


def test_a_criterion_of_another_name_comes_last(chain: Observed) -> None:
    name = chain.groups.prunable[0].name
    scores = {"taylor": {name: np.arange(16.0)}}
    seen = Observed(chain.groups, observe(chain.groups, CostModel(chain.groups), scores))
    np.testing.assert_allclose(seen.feature("taylor rank"), np.arange(16) / 15, rtol=1e-6)
    assert set(chain.graph.channel_features) < set(seen.graph.channel_features)


def test_every_criterion_that_needs_no_torch_has_its_place() -> None:
    assert set(ALWAYS) == {name for name, kind in CRITERIA.items() if not kind.needs_torch} - {"random"}


@pytest.mark.parametrize("axis", [0, 1])
def test_own_l1_and_l2_are_those_of_the_criteria_also_of_integers(
    observation_of: Observe, rng: np.random.Generator, axis: int
) -> None:
    seen = observation_of(
        "float[N,6] x => float[N,3] y",
        f"d = DequantizeLinear<axis={axis}>(q, s, z)\na = Gemm<transB=1>(x, d)\nr = Relu(a)\n"
        "t = Transpose<perm=[1,0]>(w)\nh = MatMul(r, t)\nk = Relu(h)\ny = MatMul(k, v)",
        q=rng.integers(-99, 99, (8, 6)).astype(np.int8),
        s=rng.random((8, 6)[axis]).astype(np.float32) + 0.1,
        z=rng.integers(-9, 9, (8, 6)[axis]).astype(np.int8),
        w=(5, 8),
        v=(5, 3),
    )
    given = {name: score(seen.groups, name) for name in ("l1", "l2")}
    graph = observe(seen.groups, CostModel(seen.groups), given)
    assert len(graph.channels) == 13
    np.testing.assert_allclose(graph.channels, seen.graph.channels, rtol=1e-4, atol=1e-5)


def test_partners_are_joined_by_the_strongest_blocks(
    observation_of: Observe, rng: np.random.Generator
) -> None:
    weight = rng.standard_normal((12, 10, 3, 3)).astype(np.float32)
    seen = observation_of(
        "float[N,3,8,8] x => float[N,2,4,4] y",
        "a = Conv(x, w0)\nr = Relu(a)\nb = Conv(r, w1)\nt = Relu(b)\ny = Conv(t, w2)",
        w0=(10, 3, 1, 1),
        w1=weight,
        w2=(2, 12, 3, 3),
    )
    norms = np.sqrt(np.square(weight.astype(np.float64)).sum((2, 3))).T  # (10, 12)
    usual = np.sqrt(np.mean(np.square(norms)))
    edges = seen.edges("partner")
    assert len(edges) == 80
    for channel in range(10):
        own = edges.index[0] == channel
        best = np.sort(np.argsort(norms[channel])[-8:])
        assert (edges.index[1, own] == 10 + best).all()
        np.testing.assert_allclose(edges.weight[own], norms[channel, best] / usual, rtol=1e-5)


def test_blocks_of_flattened_maps_are_added_up(observation_of: Observe, rng: np.random.Generator) -> None:
    weight = rng.standard_normal((10 * 4, 12)).astype(np.float32)
    seen = observation_of(
        "float[N,3,2,2] x => float[N,2] y",
        "a = Conv(x, w0)\nf = Flatten(a)\nb = MatMul(f, w1)\nt = Relu(b)\ny = MatMul(t, w2)",
        w0=(10, 3, 1, 1),
        w1=weight,
        w2=(12, 2),
    )
    norms = np.sqrt(np.square(weight.astype(np.float64)).reshape(10, 4, 12).sum(1))
    edges = seen.edges("partner")
    np.testing.assert_allclose(
        edges.weight,
        norms[edges.index[0], edges.index[1] - 10] / np.sqrt(np.mean(np.square(norms))),
        rtol=1e-5,
    )
    assert len(edges) == 80


def test_roles(observation_of: Observe) -> None:
    seen = observation_of(
        "float[N,3,8,8] x => float[N,2] y",
        """
        a = Conv(x, w0)
        h = Conv<group=4>(a, w1)
        b = Conv(h, w2)
        c = Conv(x, w3)
        s = Add(b, c)
        e = Conv(x, w4)
        j = Concat<axis=1>(s, e)
        p = Conv(j, w5)
        f = Flatten(p)
        g = Gemm<transB=1>(f, w6)
        y = Gemm<transB=1>(g, w7)
        """,
        w0=(4, 3, 1, 1), w1=(4, 1, 1, 1), w2=(5, 4, 1, 1), w3=(5, 3, 1, 1), w4=(6, 3, 1, 1),
        w5=(7, 11, 8, 8), w6=(9, 7), w7=(2, 9),
    )  # fmt: skip
    roles = {
        name: [role for role in ROLES if seen.feature(role)[place]]
        for name, place in (("depthwise", 0), ("stream", 4), ("part", 9), ("plain", 15), ("dense", 22))
    }
    assert roles == {
        "depthwise": ["depthwise"],
        "stream": ["residual", "shared axis"],
        "part": ["shared axis"],
        "plain": ["plain"],
        "dense": ["dense"],
    }


ROLES = ("plain", "residual", "depthwise", "shared axis", "dense")


def test_a_model_with_nothing_to_prune_is_seen_too(observation_of: Observe) -> None:
    seen = observation_of("float[N,3] x => float[N,4] y", "y = MatMul(x, w)", w=(3, 4))
    assert len(seen.graph.channels) == 0
    assert seen.graph.node_names == ("y",)
    assert all(len(edges) == 0 for edges in seen.graph.edges.values())
    assert len(observation_of("float[N,3] x => float[N,3] y", "y = Relu(x)").graph.nodes) == 0


def test_weights_that_are_no_numbers_count_as_nothing(observation_of: Observe) -> None:
    broken = np.ones((8, 3), np.float32)
    broken[1], broken[2] = np.nan, np.inf
    seen = observation_of(
        "float[N,3] x => float[N,4] y", "a = Gemm<transB=1>(x, w)\ny = MatMul(a, v)", w=broken, v=(8, 4)
    )
    assert np.isfinite(seen.graph.channels).all()
    assert np.isfinite(seen.edges("made_by").weight).all()
    assert seen.feature("l2 rank")[1:3] == pytest.approx(0.5 / 7)


def test_an_embedding_is_made_where_it_is_looked_up(observation_of: Observe) -> None:
    seen = observation_of(
        "int64[N,5] x => float[N,5,3] y", "e = Gather(t, x)\ny = MatMul(e, w)", t=(20, 8), w=(8, 3)
    )
    assert {tuple(seen.nodes_of("made_by", c)) for c in range(8)} == {("e",)}


def test_size_grows_with_the_model_alone(observation_of: Observe) -> None:
    def stacked(blocks: int) -> Observed:
        lines, weights = ["x0 = MatMul(x, first)"], {"first": (6, 16), "last": (16, 4)}
        for i in range(blocks):
            lines += [f"h{i} = MatMul(x{i}, a{i})", f"r{i} = Relu(h{i})", f"o{i} = MatMul(r{i}, b{i})"]
            lines += [f"s{i} = Shape(x{i})", f"k{i} = Reshape(o{i}, s{i})", f"x{i + 1} = Add(x{i}, k{i})"]
            weights |= {f"a{i}": (16, 12), f"b{i}": (12, 16)}
        lines.append(f"y = MatMul(x{blocks}, last)")
        return observation_of("float[N,6] x => float[N,4] y", "\n".join(lines), **weights)

    one, two, four = (stacked(blocks).graph for blocks in (4, 8, 16))
    for sizes in zip(
        *([len(e) for e in g.edges.values()] + [len(g.nodes)] for g in (one, two, four)), strict=True
    ):
        assert sizes[2] - sizes[1] <= 2 * (sizes[1] - sizes[0]) + 1


def test_equal_numbers_share_the_middle_of_their_places() -> None:
    values, group_of = np.array([3.0, 1, 1, 5, 7, 7, 7]), np.array([0, 0, 0, 0, 1, 1, 1])
    np.testing.assert_allclose(ranks(values, group_of), [2 / 3, 1 / 6, 1 / 6, 1, 0.5, 0.5, 0.5])
    assert len(ranks(np.zeros(0), np.zeros(0, np.int64))) == 0
