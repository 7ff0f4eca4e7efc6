"""Is a potential safe to use? A list of checks, each a number with its limit; see docs/validation.md."""

from uniscreen.training.errors import MeanErrors
from uniscreen.training.safety.checklist import is_safe, run_checks
from uniscreen.training.safety.result import Check
from uniscreen.training.safety.training_run import read_trained_on, read_training_errors

__all__ = ["Check", "MeanErrors", "is_safe", "read_trained_on", "read_training_errors", "run_checks"]
