"""Reference labels from any ASE calculator, which may live in another Python than ours."""

from uniscreen.training.labelling.run import LabelRun, run_labelling
from uniscreen.training.labelling.settings import LabelSettings, read_label_settings

__all__ = ["LabelRun", "LabelSettings", "read_label_settings", "run_labelling"]
