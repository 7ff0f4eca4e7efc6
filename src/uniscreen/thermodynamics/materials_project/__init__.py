"""The Materials Project: competing entries and candidates, through its own client (mp-api)."""

from uniscreen.thermodynamics.materials_project.client import MaterialsProject
from uniscreen.thermodynamics.materials_project.competition import fetch_references
from uniscreen.thermodynamics.materials_project.materials import Material, fetch_materials
from uniscreen.thermodynamics.materials_project.selection import Selection, select_materials
from uniscreen.thermodynamics.materials_project.systems import maximal_systems, parse_system
from uniscreen.thermodynamics.materials_project.tables import dft_columns, table_content
from uniscreen.thermodynamics.materials_project.thermo_types import thermo_type_of

__all__ = [
    "Material",
    "MaterialsProject",
    "Selection",
    "dft_columns",
    "fetch_materials",
    "fetch_references",
    "maximal_systems",
    "parse_system",
    "select_materials",
    "table_content",
    "thermo_type_of",
]
