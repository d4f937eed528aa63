"""What the slots of some operators hold: scales, statistics, quantisation parameters.

The coupling functions need none of this; the criteria do, to tell a weight from what describes it.
"""

from dataclasses import dataclass

MICROSOFT = "com.microsoft"
Key = tuple[str, str]  # (domain, op_type)


@dataclass(frozen=True)
class Quantised:
    """Slots that turn integers into numbers: (x - zero_point) * scale.

    Attributes:
        scale, zero_point: Input slots; -1 where the operator has none.
        axis: The axis that one-dimensional parameters run along; None: the attribute `axis`, 1 by default.
    """

    scale: int
    zero_point: int
    axis: int | None = 0


# A factor for every channel that comes right behind a normalisation by statistics of the training.
NORMALISATION_SCALE: dict[Key, int] = {("", "BatchNormalization"): 1}

# Slots that describe data and are no weights.
STATISTICS: dict[Key, tuple[int, ...]] = {("", "BatchNormalization"): (3, 4)}

QUANTISED: dict[Key, dict[int, Quantised]] = {
    ("", "DequantizeLinear"): {0: Quantised(1, 2, None)},
    (MICROSOFT, "DequantizeLinear"): {0: Quantised(1, 2, None)},
    ("", "QLinearConv"): {0: Quantised(1, 2), 3: Quantised(4, 5)},
    ("", "QLinearMatMul"): {0: Quantised(1, 2, -2), 3: Quantised(4, 5, -1)},
    ("", "ConvInteger"): {0: Quantised(-1, 2), 1: Quantised(-1, 3)},
    ("", "MatMulInteger"): {0: Quantised(-1, 2, -2), 1: Quantised(-1, 3, -1)},
    (MICROSOFT, "QGemm"): {0: Quantised(1, 2), 3: Quantised(4, 5, -1)},
    (MICROSOFT, "MatMulIntegerToFloat"): {0: Quantised(2, 4), 1: Quantised(3, 5, -1)},
    (MICROSOFT, "QLinearConv"): {0: Quantised(1, 2), 3: Quantised(4, 5)},
    (MICROSOFT, "QAttention"): {0: Quantised(3, 6), 1: Quantised(4, 7, -1)},
    (MICROSOFT, "DynamicQuantizeMatMul"): {1: Quantised(2, 3, -1)},
}
