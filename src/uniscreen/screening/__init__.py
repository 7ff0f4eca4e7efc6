"""The screening pipeline: preflight, units of work, durable store, workers, ranking; one model or a committee."""

from uniscreen.screening.api import run_models
from uniscreen.screening.committee import run_committee
from uniscreen.screening.pipeline import Progress, ScreenRun, run_screen
from uniscreen.screening.settings import ScreenSettings

__all__ = ["Progress", "ScreenRun", "ScreenSettings", "run_committee", "run_models", "run_screen"]
