"""Accuracy and latency of models in ONNX Runtime, always with the provider that really ran."""

from onnxprune.measurement.accuracy import Measurement, MeasureOptions, Recorded, measure, record
from onnxprune.measurement.doctor import Diagnosis, diagnose
from onnxprune.measurement.lanes import Contender
from onnxprune.measurement.latency import BenchOptions, bench
from onnxprune.measurement.latency_report import LatencyReport
from onnxprune.measurement.session import Session, SessionSettings, make_session
from onnxprune.measurement.timing import Protocol

__all__ = [
    "BenchOptions",
    "Contender",
    "Diagnosis",
    "LatencyReport",
    "MeasureOptions",
    "Measurement",
    "Protocol",
    "Recorded",
    "Session",
    "SessionSettings",
    "bench",
    "diagnose",
    "make_session",
    "measure",
    "record",
]
