"""Operators that are known and yet stop all channels, by decision: what touches them stays, and why.

Whoever makes one of these prunable moves it to `table.COUPLING`; an operator is in one table or in none.
"""

MICROSOFT = "com.microsoft"
NCHWC = "com.microsoft.nchwc"

SEQUENCE = "it makes or reads a sequence of tensors"
OPTIONAL = "it makes or reads an optional value"
RANDOM = "it draws random numbers, which would be others"
SUBGRAPH = "its subgraphs are not followed"
TEXT = "it works on text"
BLOCKED = "its data lies as one processor wants it; prune the model from before this optimisation"
NO_CHANNELS = "its result has no channels of its input"
UNKNOWN_SHAPE = "the shape that it reads is not known"
LOSS = "it is a loss over classes"
CACHE = "its cache of keys and values is part of the model's interface"

FROZEN_BY_DESIGN: dict[tuple[str, str], str] = {
    ("", "AffineGrid"): NO_CHANNELS,
    ("", "Bernoulli"): RANDOM,
    ("", "BlackmanWindow"): NO_CHANNELS,
    ("", "ConcatFromSequence"): SEQUENCE,
    ("", "Constant"): "a constant of text or a sparse one",
    ("", "EyeLike"): "its ones stand where positions are equal",
    ("", "HammingWindow"): NO_CHANNELS,
    ("", "HannWindow"): NO_CHANNELS,
    ("", "If"): SUBGRAPH,
    ("", "ImageDecoder"): NO_CHANNELS,
    ("", "LinearAttention"): CACHE,
    ("", "Loop"): SUBGRAPH,
    ("", "LRN"): "its sums run over neighbouring channels",
    ("", "MaxUnpool"): "its indices count through all channels",
    ("", "MelWeightMatrix"): NO_CHANNELS,
    ("", "Multinomial"): RANDOM,
    ("", "NegativeLogLikelihoodLoss"): LOSS,
    ("", "NonMaxSuppression"): "it selects boxes by position",
    ("", "NonZero"): "it returns positions",
    ("", "Optional"): OPTIONAL,
    ("", "OptionalGetElement"): OPTIONAL,
    ("", "OptionalHasElement"): OPTIONAL,
    ("", "RandomNormal"): RANDOM,
    ("", "RandomNormalLike"): RANDOM,
    ("", "RandomUniform"): RANDOM,
    ("", "RandomUniformLike"): RANDOM,
    ("", "Range"): NO_CHANNELS,
    ("", "RegexFullMatch"): TEXT,
    ("", "STFT"): "it cuts a signal into frames",
    ("", "Scan"): SUBGRAPH,
    ("", "SequenceAt"): SEQUENCE,
    ("", "SequenceConstruct"): SEQUENCE,
    ("", "SequenceEmpty"): SEQUENCE,
    ("", "SequenceErase"): SEQUENCE,
    ("", "SequenceInsert"): SEQUENCE,
    ("", "SequenceLength"): SEQUENCE,
    ("", "SequenceMap"): SUBGRAPH,
    ("", "Shape"): UNKNOWN_SHAPE,
    ("", "Size"): UNKNOWN_SHAPE,
    ("", "SoftmaxCrossEntropyLoss"): LOSS,
    ("", "SplitToSequence"): SEQUENCE,
    ("", "StringConcat"): TEXT,
    ("", "StringNormalizer"): TEXT,
    ("", "StringSplit"): TEXT,
    ("", "TfIdfVectorizer"): TEXT,
    ("", "Unique"): "what it returns depends on the values",
    (MICROSOFT, "BiasSoftmax"): "positions along the axis matter",
    (MICROSOFT, "DecoderMaskedMultiHeadAttention"): CACHE,
    (MICROSOFT, "GroupQueryAttention"): CACHE,
    (MICROSOFT, "NhwcConv"): BLOCKED,
    (MICROSOFT, "NhwcFusedConv"): BLOCKED,
    (MICROSOFT, "NhwcMaxPool"): BLOCKED,
    (MICROSOFT, "PackedAttention"): "it has no padding, and rows of all sequences in one axis",
    (MICROSOFT, "PackedMultiHeadAttention"): "it has no padding, and rows of all sequences in one axis",
    (MICROSOFT, "Range"): NO_CHANNELS,
    (MICROSOFT, "Unique"): "what it returns depends on the values",
    (NCHWC, "AveragePool"): BLOCKED,
    (NCHWC, "Conv"): BLOCKED,
    (NCHWC, "GlobalAveragePool"): BLOCKED,
    (NCHWC, "GlobalMaxPool"): BLOCKED,
    (NCHWC, "MaxPool"): BLOCKED,
    (NCHWC, "ReorderInput"): BLOCKED,
    (NCHWC, "ReorderOutput"): BLOCKED,
    (NCHWC, "Upsample"): BLOCKED,
}
