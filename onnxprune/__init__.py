"""onnxprune: structured pruning of ONNX models."""
