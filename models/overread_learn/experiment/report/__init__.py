"""What a comparison showed, as one HTML page that needs nothing but a browser."""

from overread_learn.experiment.report.page import report

__all__ = ["report"]
