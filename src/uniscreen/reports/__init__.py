"""Figures and HTML: what a screening or a fine-tuning found, as one file to read, print and send."""

from uniscreen.reports.screen_report import write_screen_report
from uniscreen.reports.training_report import write_training_report

__all__ = ["write_screen_report", "write_training_report"]
