"""Figures and HTML: what a screening found, as one file to read, print and send."""

from uniscreen.reports.screen_report import write_screen_report

__all__ = ["write_screen_report"]
