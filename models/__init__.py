"""CIFAR networks in torch, their training recipe and their export to ONNX."""
