"""The screening pipeline: preflight, units of work, durable store, workers, ranking."""

from uniscreen.screening.pipeline import Progress, ScreenRun, run_screen, screen
from uniscreen.screening.settings import ScreenSettings

__all__ = ["Progress", "ScreenRun", "ScreenSettings", "run_screen", "screen"]
