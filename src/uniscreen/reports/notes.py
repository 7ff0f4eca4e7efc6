"""What the numbers of a screening report mean and do not mean, and what each flag says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uniscreen.reports.text import plural

if TYPE_CHECKING:
    from uniscreen.reports.results import ScreenResults

_PUBLISHED_MAE_MEV = {"chgnet-0.3.0": 63}
"""Mean absolute error of the distance to the hull on new crystals, meV/atom, by model.

Source: Matbench Discovery (Riebesell et al., Nat. Mach. Intell. 7, 836 (2025)), unique prototypes of WBM.
"""

FLAGS = {
    "missing_terminal": "An element (named after the colon) has no reference entry, so there is no hull "
    "distance. Add an entry of the element to the references.",
    "large_volume_change": "The volume changed far more than relaxing a good guess does. The guess was far "
    "off, or the crystal left its structure type; compare the relaxed structure with what you meant.",
    "space_group_changed": "The relaxed crystal has another space group than the given one: symmetry was "
    "broken or gained, and the candidate may have become another phase.",
    "far_from_minimum": "Relaxing lowered the energy by more than 0.25 eV/atom: the given structure was far from a "
    "minimum, and what was found may have little to do with it.",
    "large_forces": "More than 0.5 eV/Å is left on an atom: the crystal was not relaxed, or not to its end, and its "
    "energy is not that of a minimum.",
    "outside_fine_tuning": "The model was fine-tuned without an element of the candidate (after the colon), which "
    "it knows from its base alone: trust it less than the base there, and see uniscreen validate on forgetting.",
    "members_disagree": "The energies of the ensemble's members have a standard deviation of more than 20 meV/atom, "
    "and their common error is larger: the crystal is unlike what they were trained on.",
    "correction_class_changed": "Relaxing changed what the Materials Project's corrections take the crystal for, such "
    "as a superoxide for an oxide, so its corrected energy jumped. Both corrections are in results.parquet "
    "(correction_eV_per_atom and correction_unrelaxed_eV_per_atom); look at the anions of the relaxed crystal.",
    "oxidation_states_unknown": "No oxidation states of the elements add up to zero, so it is not known which are "
    "anions, and only the most electronegative one (and oxygen and sulfur) was corrected as one. Corrections of other "
    "anions (up to 0.6 eV per atom of them) may be missing.",
    "reference_without_energy": "A phase (its id after the colon) at the candidate's place on the fixed hull could not "
    "be evaluated with the potential, so it is missing from the self-consistent hull, which may be too high there.",
    "far_below_hull": "Further below the hull than new phases usually are. More often a missing competing "
    "phase or a failure of the potential than a discovery; check these first.",
    "models_disagree": "Some models put the candidate on or below the hull and others above it, with a standard "
    "deviation of their distances of more than 1 meV/atom, or it is more than 50. At least one of them is wrong.",
    "committee_incomplete": "A model (named after the colon) gave no result for the candidate, which others did; the "
    "means are over fewer models.",
    "unusual_formation_energy": "A formation energy beyond that of any known compound, in either direction: "
    "most likely a failure of the potential.",
}
_UNKNOWN_FLAG = "Set by the screening; see its documentation."


@dataclass(frozen=True)
class Note:
    """A headed paragraph."""

    heading: str
    text: str


@dataclass(frozen=True)
class FlagNote:
    """A flag that occurs, how many candidates have it, and its meaning."""

    flag: str
    count: int
    meaning: str


def notes(results: ScreenResults) -> list[Note]:
    """Say what the results rest on, for these models, these references and these candidates."""
    return [
        Note("A potential, not a calculation", _potential(results)),
        Note("Uncertainty of one distance", _uncertainty(results)),
        Note("What ± means", _correction_uncertainty(results)),
        Note("Decomposition", _decomposition(results)),
        Note("The hull knows only the competitors it was given", _competitors(results)),
        Note("Negative distances", _negative(results)),
        Note("Functional and corrections", _corrections(results)),
        Note(
            "0 K, no entropy",
            "All energies are of static crystals at 0 K without zero-point motion. Vibrations, disorder, "
            "magnetism beyond what the model learnt, pressure and kinetics are not in them. A phase within "
            "some tens of meV/atom above the hull can often be made, and one on it need not be.",
        ),
        Note("What is not ranked", _unranked(results)),
    ]


def flag_notes(results: ScreenResults) -> list[FlagNote]:
    """List the flags that occur, the most frequent first; what follows a colon is a flag's detail."""
    counts: Counter[str] = Counter()
    for flags in results.frame["flags"]:
        counts.update({flag.split(":")[0].strip() for flag in flags.split(";")} - {""})
    return [
        FlagNote(flag, count, FLAGS.get(flag, _UNKNOWN_FLAG))
        for flag, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _model(results: ScreenResults) -> str:
    return str(results.section("model").get("name") or "the model")


def _potential(results: ScreenResults) -> str:
    architecture = results.section("model").get("architecture")
    kind = f", a universal potential of the {architecture} architecture," if architecture else ""
    source = "one of the committee's models," if results.models else f"{_model(results)}{kind}"
    return (
        f"Every energy comes from {source} used zero-shot unless it was fine-tuned on "
        "related crystals. It orders candidates for DFT; it does not replace DFT. Universal potentials "
        "trained on near-equilibrium crystals are also systematically soft: forces, elastic moduli and "
        "barriers away from equilibrium come out too small (Deng et al., npj Comput. Mater. 11, 9 (2025)), "
        "so that an energy far from anything in the training data is the least reliable."
    )


def _uncertainty(results: ScreenResults) -> str:
    published = _PUBLISHED_MAE_MEV.get(_model(results))
    if published is None:
        size, how_large = (
            "For universal potentials of this generation, published mean absolute errors of the distance to "
            "the hull on crystals they were not trained on are about 30 to 80 meV/atom; there is no published "
            f"figure in this report for {_model(results)}.",
            "that error",
        )
    else:
        size, how_large = (
            f"Published mean absolute error of {_model(results)}'s distance to the hull on crystals it was not "
            f"trained on: {published} meV/atom (Matbench Discovery, WBM test set; not measured on your "
            "candidates).",
            f"about {published} meV/atom",
        )
    return (
        f"{size} Whether a single candidate whose distance is smaller than {how_large} is stable is therefore not "
        "decided. The thresholds of 25, 50 and 100 meV/atom say how many calculations a choice costs, not how "
        "many candidates are stable. Errors of chemically similar phases partly cancel, so an order among them "
        "is worth more than an absolute distance."
    )


def _correction_uncertainty(results: ScreenResults) -> str:
    if results.ok["e_above_hull_uncertainty_eV_per_atom"].isna().all():
        return "No uncertainty is given: the energies have no fitted corrections, or those of the references have none."
    return (
        "The standard error that a distance inherits from the Materials Project's fitted corrections (MP2020; Wang et "
        "al., Sci. Rep. 11, 15496 (2021)), those in the candidate's energy and in its competitors'. A correction that "
        "both hold is the same fitted number, so its error cancels as far as they hold as much of it per atom: oxides "
        "that compete with oxides show none. It is not the error of the potential, nor of DFT, both usually "
        "far larger."
    )


def _decomposition(results: ScreenResults) -> str:
    sentence = (
        "The decomposition energy compares a candidate with the phases of other compositions only, so a stable one has "
        "a negative number: the energy it takes to decompose it. It equals the distance to the hull unless a phase of "
        "the candidate's own composition is on the hull."
    )
    if not results.self_consistent:
        return sentence
    run = results.section("references").get("self_consistent")
    failed = run.get("n_without_energy", 0) if isinstance(run, Mapping) else 0
    lacking = f" It lacks {plural(failed, 'reference')} that could not be evaluated (see Provenance)." if failed else ""
    return (
        f"{sentence} The self-consistent distance is to the hull of the same references relaxed with the potential, so "
        f"that errors common to chemically similar phases cancel.{lacking}"
    )


def _competitors(results: ScreenResults) -> str:
    source = results.section("references").get("source")
    named = f" ({source})" if source else ""
    if results.hull_of_candidates:
        return (
            f"Candidates compete with each other and with the DFT energies of the elements{named}, nothing else. "
            "A competing phase that is not among the candidates is missing from the hull, and adding it can "
            "only lower the hull and raise distances: a candidate without its known competitors looks more "
            "stable than it is, and read as distances to the full hull these numbers are lower limits, apart from "
            "the potential's error. Compounds are all evaluated with the potential, but elements with DFT, so errors "
            "cancel between compounds and not between a compound and the elements."
        )
    return (
        f"Candidates compete with the reference entries{named}, a fixed hull of DFT energies; they do not "
        "compete with each other, so two polymorphs can both lie below it. A competing phase that is not in "
        "the file is missing: adding it can only raise distances, so a candidate looks more stable than it "
        "is. The potential's error for the candidate enters its distance in full, since the hull has none of it."
    )


def _negative(results: ScreenResults) -> str:
    if results.hull_of_candidates:
        return (
            "A candidate on the hull has a negative number: the energy by which it lies below the hull of all "
            "others. The more negative, the more the others would have to gain to displace it. Two identical "
            "candidates both get zero."
        )
    return (
        "A negative number means that the candidate lies below the hull of the references: if it held, the known "
        "phases at this composition would decompose into it. A candidate that already is one of the "
        "references comes out near zero, up to the potential's error."
    )


def _corrections(results: ScreenResults) -> str:
    model, references = results.section("model"), results.section("references")
    functional = model.get("functional") or "an unstated functional"
    corrections = results.ok["correction_eV_per_atom"].fillna(0)
    if shifts := model.get("reference_shifts"):
        corrections = corrections - results.ok.get("correction_reference_energies_eV_per_atom", 0.0)
    corrected = int((corrections.abs() > 1e-9).sum())
    if model.get("energy_convention") == "MP2020-corrected":
        labels = "The labels that its base was trained on" if model.get("base") else "Its training labels"
        how = (
            f"{labels} already carried the Materials Project's corrections (MP2020), so they are in its energies and "
            "were not applied again."
        )
    elif corrected:
        how = (
            "It predicts raw DFT energies; the Materials Project's corrections (MP2020) were added after "
            f"relaxing and changed {plural(corrected, 'candidate')}."
        )
    else:
        how = "It predicts raw DFT energies, and none was changed by a correction."
    if shifts:
        how += (
            f" Its fine-tuning moved the reference energies of {', '.join(shifts)} to those of its data, which no "
            "reference has: that is taken off again (correction_reference_energies_eV_per_atom)."
        )
    scheme = references.get("scheme")
    hull = f" The references are {references.get('functional') or 'of an unstated functional'} (corrections: {scheme})."
    return f"{_model(results)} reproduces {functional} energies, with that functional's own errors. {how}" + (
        hull if scheme else ""
    )


def _unranked(results: ScreenResults) -> str:
    stopped = (
        f" {plural(results.n_stopped_early, 'relaxation')} {'was' if results.n_stopped_early == 1 else 'were'} stopped "
        "early by --prescreen, which loses a few good candidates: their energies are too high as well."
        if results.n_stopped_early
        else ""
    )
    return (
        "A relaxation that ran out of steps (not_converged) has an energy that is too high by an unknown amount, so "
        "it is listed but not ranked and takes no part in counts and figures. The same holds for candidates that "
        f"failed. Here: {results.n_not_converged:,} not converged, "
        f"{results.n_not_evaluated:,} not evaluated.{stopped}"
    )
