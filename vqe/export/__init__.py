"""Trained network -> ONNX file, and what it costs a frame."""
