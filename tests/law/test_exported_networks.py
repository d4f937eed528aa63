"""The law on what torch exports, and how many groups of each network can be pruned at least."""

from pathlib import Path

import pytest

from onnxprune.models.zoo import NETWORKS
from tests.exported import EXPORTED_BY, SMALL, VOCABULARY, export_case
from tests.law.check import Trial, check_law

# prunable groups, by every exporter that does not make sequences
LEAST = {
    "plain": 3, "residual": 5, "residual_option_a": 4, "inverted_residual": 4, "depthwise_multiplier": 2,
    "grouped": 3, "densenet": 6,
    "squeeze_excite": 4, "c2f": 7, "shufflenet": 6, "grouped_shuffle": 3, "unet": 7,
    "unet_resize": 7, "feature_pyramid": 5, "pixel_shuffle": 2, "pixel_unshuffle": 2, "spatial_flatten": 2,
    "constant_reshape": 1, "mean_head": 1, "hard_swish": 2, "gelu": 3, "prelu": 2, "glu": 2, "group_norm": 2,
    "instance_norm": 2, "convnext": 3, "fan_out": 3, "conv1d": 2, "conv3d": 2, "autoencoder": 4,
    "encoder_separate": 7, "encoder_split": 7, "encoder_slice": 7, "encoder_gather": 5,
    "encoder_multihead": 5, "encoder_einsum": 7, "encoder_gated": 7, "encoder_layer": 3, "token_encoder": 4,
    "language_model": 4,
    "vision_transformer": 5, "mixer": 5, "lstm": 2, "lstm_stacked": 2, "lstm_both_ways": 2, "gru": 2,
    "gru_both_ways": 2, "rnn": 2,
}  # fmt: skip
# torch's exporter without its optimiser cuts by SplitToSequence; sequences are frozen
LEAST_OF_RAW = LEAST | {"c2f": 5, "shufflenet": 3, "encoder_split": 3}
TRIAL = Trial(seeds=range(1), limit=VOCABULARY)


@pytest.mark.parametrize("exporter", EXPORTED_BY)
@pytest.mark.parametrize("name", SMALL)
def test_the_law_holds_on_exported_networks(name: str, exporter: str, exported_folder: Path) -> None:
    groups = check_law(export_case(name, exporter, exported_folder), exported_folder, TRIAL)
    least = LEAST_OF_RAW if exporter == "dynamo_raw" else LEAST
    assert len(groups.prunable) >= least[name]


@pytest.mark.parametrize("name", [name for name in SMALL if name.startswith(("encoder", "vision"))])
def test_the_law_holds_on_transformers_that_lose_whole_heads(name: str, exported_folder: Path) -> None:
    trial = Trial(seeds=range(1), limit=VOCABULARY, heads=True)
    groups = check_law(export_case(name, "torchscript", exported_folder), exported_folder, trial)
    assert any(group.channels == 4 for group in groups.prunable)


@pytest.mark.slow
@pytest.mark.parametrize("exporter", ["dynamo", "torchscript_bn"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_law_holds_on_the_networks_of_the_zoo(name: str, exporter: str, exported_folder: Path) -> None:
    groups = check_law(export_case(name, exporter, exported_folder), exported_folder, TRIAL)
    assert len(groups.prunable) >= 9
