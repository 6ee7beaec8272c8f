"""From a trained network to the file that inference loads."""

from overread_learn.export.onnx import export, parity

__all__ = ["export", "parity"]
