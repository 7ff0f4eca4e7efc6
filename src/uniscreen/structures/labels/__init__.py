"""Structures with reference energies, forces and stresses, and the files they come from.

>>> from uniscreen.structures.labels import read_labelled
>>> data = read_labelled(Path("si.extxyz"))  # doctest: +SKIP
"""

from uniscreen.structures.labels.labelled import LabelConventions, LabelledStructure
from uniscreen.structures.labels.readers import LabelledData, holds_labels, read_labelled
from uniscreen.structures.labels.writing import labelled_extxyz

__all__ = ["LabelConventions", "LabelledData", "LabelledStructure", "holds_labels", "labelled_extxyz", "read_labelled"]
