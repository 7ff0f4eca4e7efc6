"""Write a screening's report: one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniscreen.errors import InputError
from uniscreen.messages import listed
from uniscreen.reports.page import ShownFigure, flat, write_page
from uniscreen.reports.results import THRESHOLDS_MEV, ScreenResults
from uniscreen.reports.text import plural

if TYPE_CHECKING:
    from uniscreen.reports.phase_diagrams import Diagram, Diagrams
    from uniscreen.reports.tables import Table
    from uniscreen.thermodynamics import ReferenceSet

_TEMPLATE = "screen.html.j2"
_VERDICT_MEV = 25


@dataclass(frozen=True)
class CommitteeSection:
    """How the models of a committee differ: over all candidates, and on those where they differ most."""

    models: Table
    disagreements: Table
    figure: ShownFigure | None


def write_screen_report(folder: Path, references: ReferenceSet, *, top: int = 50) -> Path:
    """Write ``report.html`` of a results folder, from its ``results.parquet`` and ``run.json``.

    ``references`` are those that the screening ran against; ``top`` is the number of candidates in the table.
    The file holds all scripts and styles, and a content security policy that forbids it any network.

    Raises:
        InputError: a file of the folder is missing or is not what it should be, or ``top`` is below 1.

    """
    if top < 1:
        raise InputError(f"A report shows at least 1 candidate in its table, got top={top}.")
    folder = Path(folder)
    path = folder / "report.html"
    _write(path, ScreenResults.read(folder), references, top)
    return path


def verdict(results: ScreenResults) -> str:
    """One sentence: how many candidates are near the hull, and how many could not be judged."""
    n, n_failed = len(results), results.n_not_evaluated
    if n == 0:
        return "The input held no candidates."
    if results.distances:
        near = results.n_within(_VERDICT_MEV)
        clauses = [
            f"{near:,} of {plural(n, 'candidate')} {'is' if near == 1 else 'are'} within {_VERDICT_MEV} "
            "meV/atom of the hull or below it"
        ]
    else:
        clauses = [f"None of {plural(n, 'candidate')} has a distance to the hull"]
    if results.n_not_converged:
        clauses.append(f"{results.n_not_converged:,} did not converge")
    if results.n_stopped_early:
        clauses.append(f"{results.n_stopped_early:,} {'was' if results.n_stopped_early == 1 else 'were'} stopped early")
    if n_failed:
        clauses.append(f"{n_failed:,} could not be evaluated")
    return "; ".join(clauses) + "."


def _write(path: Path, results: ScreenResults, references: ReferenceSet, top: int) -> None:
    from uniscreen.reports import tables
    from uniscreen.reports.committee import committee_notes
    from uniscreen.reports.notes import flag_notes, notes
    from uniscreen.reports.phase_diagrams import phase_diagrams

    diagrams = phase_diagrams(results, references)
    write_page(
        path,
        _TEMPLATE,
        nonce=results.sha256,  # unknown to whoever wrote the data, and the same for the same data
        results=results,
        title=_title(results),
        finished=_moment(results.run.get("finished") or results.run.get("started")),
        verdict=verdict(results),
        thresholds=[(threshold, results.n_within(threshold)) for threshold in THRESHOLDS_MEV],
        statuses=tables.status_counts(results),
        without_distance=_without_distance(results),
        failed=tables.failed_table(results),
        top=tables.top_table(results, top),
        hull_figure=_hull_figure(results),
        volume_figure=_volume_figure(results),
        outliers=tables.outlier_table(results),
        diagrams=[
            ShownFigure(
                f"diagram-{n}",
                diagram.figure,
                f"Phase diagram of {diagram.system}",
                _drawn(diagram),
            )
            for n, diagram in enumerate(diagrams.drawn, start=1)
        ],
        diagram_notes=_diagram_notes(diagrams),
        committee=_committee(results),
        notes=[*(committee_notes(results) if results.models else []), *notes(results)],
        flags=flag_notes(results),
        provenance=_provenance(results, references),
    )


def _title(results: ScreenResults) -> str:
    return str(results.section("input").get("name") or "candidates")


def _moment(text: Any) -> str:
    try:
        return datetime.fromisoformat(str(text)).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return str(text or "")


def _without_distance(results: ScreenResults) -> str:
    """Say why converged candidates have no hull distance; "" where all have one."""
    from uniscreen.reports.tables import missing_terminals

    n = int(results.ok["distance_meV"].isna().sum())
    if not n:
        return ""
    elements = missing_terminals(results)
    why = f": no reference entry for {listed(elements, 12)}" if elements else ""
    return f"{plural(n, 'converged candidate')} without a distance to the hull{why}."


def _hull_figure(results: ScreenResults) -> ShownFigure | None:
    from uniscreen.reports.figures import SHOWN_RANGE_MEV, hull_distance_figure, n_outside

    if not results.distances:
        return None
    outside = n_outside(results.distances)
    low, high = SHOWN_RANGE_MEV
    caption = (
        "Left: candidates by distance to the hull. Right: how many lie within a distance, which is how many "
        "calculations a threshold costs. Lines at "
        f"{', '.join(map(str, THRESHOLDS_MEV[:-1]))} and {THRESHOLDS_MEV[-1]} meV/atom."
    )
    if outside:
        caption += (
            f" {plural(outside, 'candidate')} below −{-low:.0f} or above {high:.0f} meV/atom "  # noqa: RUF001
            f"{'is' if outside == 1 else 'are'} outside the figure."
        )
    return ShownFigure("hull-distance", hull_distance_figure(results.distances), "Hull distances", caption)


def _volume_figure(results: ScreenResults) -> ShownFigure | None:
    from uniscreen.reports.figures import n_outside, volume_figure

    figure = volume_figure(results)
    caption = "Relaxed volume against that of the given crystal, by distance to the hull. Dotted: 10 %."
    if outside := n_outside(results.distances):
        caption += f" The first view leaves out {plural(outside, 'candidate')} farther to the left or right."
    return figure and ShownFigure("volume-change", figure, "Volume change", caption)


def _committee(results: ScreenResults) -> CommitteeSection | None:
    from uniscreen.reports.committee import agreement_figure, disagreement_table, models_table, n_outside

    if not results.models:
        return None
    figure = agreement_figure(results)
    shown = None
    if figure is not None:
        caption = (
            f"Distance to the hull by each other model against that by {results.models[0]}. On the line they agree; in "
            "the upper left and lower right quarters, one calls a candidate stable and the other does not."
        )
        if outside := n_outside(results, figure):
            caption += f" The first view leaves out {plural(outside, 'candidate')} farther out."
        shown = ShownFigure("agreement", figure, "Hull distances of the models against each other", caption)
    return CommitteeSection(models_table(results), disagreement_table(results), shown)


def _drawn(diagram: Diagram) -> str:
    from uniscreen.reports.figures import MOST_POINTS

    counted = f"{diagram.system}: {plural(diagram.n_candidates, 'compound candidate')}"
    return counted if diagram.n_candidates <= MOST_POINTS else f"{counted}, the {MOST_POINTS:,} nearest to the hull"


def _diagram_notes(diagrams: Diagrams) -> list[str]:
    sentences = []
    if diagrams.n_left_out:
        more = plural(diagrams.n_left_out, "system")
        sentences.append(f"{more} with fewer candidates {'is' if diagrams.n_left_out == 1 else 'are'} not drawn.")
    if diagrams.without_reference:
        named = listed(list(diagrams.without_reference), 12)
        sentences.append(f"Not drawn, because an element has no reference entry: {named}.")
    return sentences


def _provenance(results: ScreenResults, references: ReferenceSet) -> list[tuple[str, list[tuple[str, str]]]]:
    """Headed lists of key and value: all that ``run.json`` records."""
    run = results.run
    plain = {key: value for key, value in run.items() if not isinstance(value, Mapping)}
    drawn = {"source": references.source, "sha256": references.sha256, "entries": len(references)}
    sections = [
        ("Run", plain),
        ("Model card", results.section("model")),
        ("Input", results.section("input")),
        ("References of the screening", results.section("references")),
        ("References of this report's phase diagrams", drawn),
    ]
    named = {"model", "input", "references"}
    sections += [
        (key.replace("_", " ").capitalize(), value)
        for key, value in run.items()
        if isinstance(value, Mapping) and key not in named
    ]
    return [(heading, flat(content)) for heading, content in sections if content]
