"""What users write as a target, and what it means."""

import pytest

from onnxprune.cost import Cost, TimedCost
from onnxprune.errors import UsageError
from onnxprune.target import Target, parse_target

ORIGINAL = Cost(macs=1001, params=2_000_000, bytes=8_000_000)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("macs=50%", {"macs": 500}),
        ("macs=100%", {"macs": 1001}),
        ("MACs = 12.5 %", {"macs": 125}),
        ("params=1.2M", {"params": 1_200_000}),
        ("params=900k", {"params": 900_000}),
        ("bytes=600KiB", {"bytes": 614_400}),
        ("bytes=2MB", {"bytes": 2_000_000}),
        ("bytes=77B", {"bytes": 77}),
        ("macs=1.5G", {"macs": 1_500_000_000}),
    ],
)
def test_a_bound_is_a_share_of_the_original_or_a_number(text: str, limits: dict[str, int]) -> None:
    assert parse_target([text]).limits(ORIGINAL) == limits


def test_decimal_shares_are_exact() -> None:
    assert parse_target(["macs=29%"]).limits(Cost(100, 1, 1)) == {"macs": 29}  # 0.29 * 100 < 29


def test_of_several_bounds_on_one_quantity_the_lowest_holds() -> None:
    target = parse_target(["macs=50%", "macs=400k", "macs=40%", "params=1%"])
    assert target.limits(ORIGINAL) == {"macs": 400, "params": 20_000}


def test_a_target_is_met_at_its_bounds_and_not_above() -> None:
    target = parse_target(["macs=50%", "bytes=1MB"])
    assert target.met_by(Cost(500, 10**9, 10**6), original=ORIGINAL)
    assert not target.met_by(Cost(501, 0, 0), original=ORIGINAL)
    assert not target.met_by(Cost(0, 0, 10**6 + 1), original=ORIGINAL)
    assert Target().met_by(ORIGINAL, original=ORIGINAL)


def test_a_target_is_written_as_it_was_asked() -> None:
    assert str(parse_target(["macs=50%", "params=1.2M"])) == "macs=50% params=1200000"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("macs=150%", "must be in (0, 100]%"),
        ("macs=0%", "must be in (0, 100]%"),
        ("params=0M", "must be above zero"),
        ("macs=50", "unit missing: macs=50% or macs=20M"),
        ("macs=0.5", "unit missing: macs=50% or macs=20M"),
        ("latency=4", "unit missing: latency=4% or latency=4ms"),
        ("flops=50%", "unknown quantity 'flops'; there are macs, params, bytes, latency"),
        ("macs=5KiB", "unknown unit 'kib'"),
        ("macs", "not of the form quantity=amount"),
        ("macs=-5%", "not of the form quantity=amount"),
        ("macs=1e6", "not of the form quantity=amount"),
        ("", "not of the form quantity=amount"),
    ],
)
def test_nonsense_is_refused_with_what_would_be_right(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_target([text])
    assert caught.value.code == "E202"
    assert said in caught.value.message
    assert repr(text) in caught.value.message


@pytest.mark.parametrize(
    ("text", "limit_ns"),
    [
        ("latency=4ms", 4_000_000),
        ("latency=250us", 250_000),
        ("latency=0.5s", 500_000_000),
        ("latency=70%", 7),
    ],
)
def test_a_bound_on_the_latency_is_in_nanoseconds(text: str, limit_ns: int) -> None:
    target = parse_target([text])
    assert target.limits(TimedCost(1, 1, 1, latency_ns=10)) == {"latency_ns": limit_ns}
    assert target.times
    assert target.counted == Target()


def test_a_bound_on_the_latency_is_shown_as_it_is_written() -> None:
    assert str(parse_target(["latency=4.25ms", "latency=70%"])) == "latency=4.25ms latency=70%"


def test_a_bound_on_the_latency_needs_a_cost_that_knows_it() -> None:
    with pytest.raises(UsageError, match="latency=4ms: nothing was measured") as caught:
        parse_target(["latency=4ms"]).limits(Cost(1, 1, 1))
    assert caught.value.code == "E202"
