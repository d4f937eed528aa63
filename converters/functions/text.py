"""Text, tables, trees, files of images: the reference evaluator runs what no gradient can pass."""

import torch
from torch import Tensor

from onnxprune.converters.functions.reference import by_reference
from onnxprune.converters.signature import Function


def scaler(X: Tensor, *, offset: list[float] | None = None, scale: list[float] | None = None) -> Tensor:
    """Numbers for each column or one for all."""
    moved = floats(X) - row(offset or [0.0], X)
    return moved * row(scale or [1.0], X)


def normalizer(X: Tensor, *, norm: str = "MAX") -> Tensor:
    """Each row by its highest, by its sum of absolutes or by its length."""
    X = floats(X)
    if norm == "MAX":
        divisor = X.amax(-1, keepdim=True)
    else:
        divisor = torch.linalg.vector_norm(X, 1 if norm == "L1" else 2, -1, keepdim=True)
    return X / torch.where(divisor == 0, 1, divisor)


def linear_regressor(
    X: Tensor,
    *,
    coefficients: list[float],
    intercepts: list[float] | None = None,
    post_transform: str = "NONE",
    targets: int = 1,
) -> Tensor:
    """X (N, C) -> (N, targets)."""
    Y = floats(X) @ row(coefficients, X).reshape(targets, -1).T
    Y = Y if intercepts is None else Y + row(intercepts, X)
    transformed: Tensor = POST_TRANSFORMS[post_transform](Y)
    return transformed


def unchanged(Y: Tensor) -> Tensor:
    return Y


def softmax(Y: Tensor) -> Tensor:
    return torch.softmax(Y, -1)


def softmax_zero(Y: Tensor) -> Tensor:
    """Where a score is zero it remains so."""
    powers = torch.where(Y == 0, 0, torch.exp(Y - Y.amax(-1, keepdim=True)))
    return powers / powers.sum(-1, keepdim=True)


def probit(Y: Tensor) -> Tensor:
    return 2**0.5 * torch.erfinv(2 * Y - 1)


POST_TRANSFORMS: dict[str, Function] = {
    "LOGISTIC": torch.sigmoid,
    "NONE": unchanged,
    "PROBIT": probit,
    "SOFTMAX": softmax,
    "SOFTMAX_ZERO": softmax_zero,
}


def binarizer(X: Tensor, *, threshold: float = 0.0) -> Tensor:
    return X.gt(threshold).to(X.dtype)


def feature_vectorizer(*X: Tensor, inputdimensions: list[int] | None = None) -> Tensor:
    """Columns side by side; a single axis is one row."""
    return torch.cat([floats(part).reshape(-1, part.shape[-1]) for part in X], 1)


def row(values: list[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=floats(like[:0]).dtype, device=like.device)


def floats(X: Tensor) -> Tensor:
    return X.to(torch.float32) if X.dtype != torch.float32 else X


TABLES = (
    *("DictVectorizer", "Imputer", "LabelEncoder", "LinearClassifier", "OneHotEncoder", "SVMClassifier"),
    *("SVMRegressor", "TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor"),
)
OPERATORS: dict[str, dict[int, Function]] = {
    "ImageDecoder": {20: by_reference},
    "RegexFullMatch": {20: by_reference},
    "StringConcat": {20: by_reference},
    "StringNormalizer": {10: by_reference},
    "StringSplit": {20: by_reference},
    "TfIdfVectorizer": {9: by_reference},
    "ai.onnx.ml::Binarizer": {1: binarizer},
    "ai.onnx.ml::FeatureVectorizer": {1: feature_vectorizer},
    "ai.onnx.ml::LinearRegressor": {1: linear_regressor},
    "ai.onnx.ml::Normalizer": {1: normalizer},
    "ai.onnx.ml::Scaler": {1: scaler},
    **{f"ai.onnx.ml::{name}": {1: by_reference} for name in TABLES},
}
