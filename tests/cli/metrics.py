"""Metrics of a user, both wrong."""

from collections.abc import Mapping
from typing import Any


def broken_metric(outputs: Mapping[str, Any], labels: Any) -> float:
    raise RuntimeError("no such luck")


def no_number(outputs: Mapping[str, Any], labels: Any) -> float:
    return float("nan")
