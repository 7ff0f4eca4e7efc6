"""What a potential is for: the quantities of crystals that it is asked about, and their errors; see docs/properties.md.

>>> from uniscreen.benchmarking.physics import measure, read_properties
>>> measure(potential, read_properties(Path("benchmarks/properties/silicon.toml")))  # doctest: +SKIP
"""

from uniscreen.benchmarking.physics.measurement import Measurement
from uniscreen.benchmarking.physics.measuring import measure, require_measurable
from uniscreen.benchmarking.physics.properties import Properties
from uniscreen.benchmarking.physics.properties_file import read_properties

__all__ = ["Measurement", "Properties", "measure", "read_properties", "require_measurable"]
