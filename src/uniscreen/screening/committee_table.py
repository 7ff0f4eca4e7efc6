"""From the results of several models to one table: means, spreads and where they disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uniscreen.screening.columns import COLUMN_TYPES, is_own_column
from uniscreen.structures.rows import carried_names
from uniscreen.thermodynamics.hull import ON_HULL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

DISAGREEMENT = 0.05
"""eV/atom of standard deviation between the models' hull distances: as much as the mean error of a good model."""

SAME_MINIMUM = 0.001
"""eV/atom: relaxations of one crystal from different starts end as near to each other."""

FORMATION = "formation_energy_eV_per_atom"
DISTANCE = "e_above_hull_eV_per_atom"

COMMITTEE_TYPES = {
    "n_models": "Int64",
    "stable_share": "float64",
    "e_above_hull_mean_eV_per_atom": "float64",
    "e_above_hull_std_eV_per_atom": "float64",
    "formation_energy_mean_eV_per_atom": "float64",
    "formation_energy_std_eV_per_atom": "float64",
}
"""What a committee adds to the columns of the results, in order, with the pandas types; those of each model follow."""

MODEL_TYPES = {"status": "string", DISTANCE: "float64", FORMATION: "float64"}
"""The columns of each model, called e.g. ``status:chgnet-0.3.0``."""


def model_column(name: str, model: str) -> str:
    """The name of a column that holds what one model says."""
    return f"{name}:{model}"


def column_types(models: Iterable[str]) -> dict[str, str]:
    """All columns of a committee's results but the carried ones, in order, with their pandas types."""
    each = {model_column(name, model): kind for model in models for name, kind in MODEL_TYPES.items()}
    return COLUMN_TYPES | COMMITTEE_TYPES | each


def committee_table(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Join the results of several models on the same candidates, by model, the leading one first.

    Its columns are all of the leading model's, then those of ``COMMITTEE_TYPES``, then the status, hull distance and
    formation energy of each model, then the carried ones. Means and standard deviations (divided by n - 1; none of a
    single value) are of corrected energies per atom, over the models in which the candidate is ``ok``; as many are
    ``n_models``. ``stable_share`` of them put it on or below the hull, to ``ON_HULL``. The rows that are ``ok`` for
    the leading model are ranked by mean hull distance, then mean formation energy.
    """
    import pandas as pd

    in_order = next(iter(tables.values()))["id"]
    each = {name: table.set_index("id").loc[in_order].reset_index() for name, table in tables.items()}
    lead = next(iter(each.values()))
    ok = pd.DataFrame({name: table["status"] == "ok" for name, table in each.items()})
    distances = pd.DataFrame({name: table[DISTANCE] for name, table in each.items()}).where(ok)
    formations = pd.DataFrame({name: table[FORMATION] for name, table in each.items()}).where(ok)
    added = {
        "n_models": ok.sum(axis=1),
        "stable_share": (distances <= ON_HULL).sum(axis=1) / distances.notna().sum(axis=1),
        "e_above_hull_mean_eV_per_atom": distances.mean(axis=1),
        "e_above_hull_std_eV_per_atom": distances.std(axis=1, ddof=1),
        "formation_energy_mean_eV_per_atom": formations.mean(axis=1),
        "formation_energy_std_eV_per_atom": formations.std(axis=1, ddof=1),
    }
    added |= {model_column(column, name): table[column] for name, table in each.items() for column in MODEL_TYPES}
    types = column_types(tables)
    known = [name for name in lead.columns if is_own_column(name)]
    own = lead[known]
    carried = lead.drop(columns=known)
    carried.columns = carried_names(carried.columns, types)
    joined = pd.concat([own, pd.DataFrame(added), carried], axis=1).astype(types)
    joined["flags"] = pd.Series(_flags(joined, ok), dtype="string")
    return _ranked(joined)


def _flags(joined: pd.DataFrame, ok: pd.DataFrame) -> Sequence[str]:
    """The leading model's flags, and those of the committee."""
    share, deviation = joined["stable_share"], joined["e_above_hull_std_eV_per_atom"]
    disagree = ((share > 0) & (share < 1) & (deviation > SAME_MINIMUM)) | (deviation > DISAGREEMENT)
    flags = []
    for of_lead, differ, each in zip(joined["flags"], disagree, ok.itertuples(index=False, name=None), strict=True):
        missing = [name for name, done in zip(ok.columns, each, strict=True) if not done]
        added = [f"committee_incomplete:{name}" for name in missing] if len(missing) < len(each) else []
        added += ["models_disagree"] if differ else []
        flags.append(";".join([*([of_lead] if of_lead else []), *added]))
    return flags


def _ranked(joined: pd.DataFrame) -> pd.DataFrame:
    """Rank the ok rows by the means; those without a hull distance come last, and ties stay as the lead has them."""
    ok = joined["status"] == "ok"
    keys = ["e_above_hull_mean_eV_per_atom", "formation_energy_mean_eV_per_atom"]
    order = joined[ok].sort_values(keys, kind="stable", na_position="last").index
    joined.loc[order, "rank"] = range(1, len(order) + 1)
    return joined.loc[[*order, *joined.index[~ok]]].reset_index(drop=True)
