"""What a leaderboard says in words: counts, the best entries, and what its numbers mean and do not mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uniscreen.benchmarking.leaderboard import HEADLINE
from uniscreen.benchmarking.result_columns import COMPUTED
from uniscreen.messages import listed
from uniscreen.reports.leaderboard_content import source_mark
from uniscreen.reports.leaderboard_text import title_of, unit_of, value_text
from uniscreen.reports.notes import Note
from uniscreen.reports.tables import records
from uniscreen.reports.text import is_missing, plural

if TYPE_CHECKING:
    from uniscreen.reports.leaderboard_content import LeaderboardContent, Part


def counted(part: Part) -> str:
    """How many entries and cells there are, how many of these failed, and how large the test set is."""
    n_cells = sum(entry.n_cells for entry in part.entries if not entry.is_quoted)
    n_quoted = sum(entry.is_quoted for entry in part.entries)
    n_failed = sum(entry.n_failed for entry in part.entries)
    ours = part.board["source"].str.startswith(COMPUTED)
    tested = part.board[ours & part.board["metric"].isin(HEADLINE) & part.board["n_test"].notna()]
    largest = int(tested["n_test"].max()) if len(tested) else 0
    words = f" Tested on {plural(largest, 'structure')}." if largest else ""
    fewer = {
        " ".join(str(part) for part in entry if not is_missing(part)): f" ({int(size)})"
        for *entry, size in tested.loc[tested["n_test"] < largest, ["model", "regime", "n_train", "n_test"]].to_numpy()
    }
    unequal = f" Not on all of them: {listed([name + size for name, size in fewer.items()], 5)}." if fewer else ""
    failed = f"{n_failed} of which failed" if n_failed else "none of which failed"
    quoted = f", {n_quoted} of them published;" if n_quoted else " of"
    return (
        f"{plural(len(part.entries), 'entry', 'entries')}{quoted} {plural(n_cells, 'cell')}, {failed}.{words}{unequal}"
    )


def best(part: Part, content: LeaderboardContent) -> list[str]:
    """A sentence for each ranked metric: which entry has the best mean, and how many the noise does not tell from it.

    None where ranks are separate by more than dataset.
    """
    sentences = []
    for metric in part.ranked if content.by == ("dataset",) else ():
        scores = records(part.board[(part.board["metric"] == metric) & part.board["rank"].notna()])
        if scores:
            first = scores[0]
            tied = first["worst_rank"] - 1
            n_train = first["n_train"]
            size = "" if is_missing(n_train) or n_train == 0 else f", {plural(n_train, 'structure')}"
            name = first["model"] + source_mark(first["source"], content.sources)
            value = f"{value_text(first)}{unit_of(metric)}"
            noise = f"; {tied} more cannot be told from it" if tied else ""
            sentences.append(f"Best {title_of(metric)}: {value}, {name} ({first['regime']}{size}){noise}.")
    return sentences


def leaderboard_notes(content: LeaderboardContent) -> list[Note]:
    """Notes, those that only some results need included where they apply."""
    apart = " and ".join(name for name in content.by if name != "dataset")
    notes = [
        Note(
            "Spread",
            "± is the sample standard deviation over seeds. Each seed draws other training structures and other random "
            "numbers; the test structures stay the same, so that it does not hold what other test structures would "
            "change. Draws of nearly all structures share most of them, and with all of them only the random numbers "
            "differ, so that it is too small there. ± ? stands where there is one seed and its noise is not known; "
            "without ± nothing is random, as in zero-shot, or one figure was published.",
        ),
        Note(
            "Rank",
            f"# is the place among the entries of the dataset{f' of the same {apart}' if apart else ''}: a range is "
            "from the best to the worst place that the noise leaves open, and marks a tie. Two entries tie unless "
            "their means differ by Welch's t-test at 95 %. A training with ± ? is given the relative spread of those "
            "with several seeds, pooled, and what was re-referenced that of its like; where there are none it counts "
            "as exact, which is too sure. "
            "Slopes and cosines are ranked by their distance to 1.",
        ),
        Note(
            "Failed cells",
            "They have no value and are listed with their reason. An entry of which some cells failed is ranked by "
            "the others, which may flatter it; the column Seeds says how many these are, and a value how many of these "
            "it is of, where some of them lack it alone.",
        ),
        Note(
            "Learning curves",
            "Error ∝ n_train ^ exponent: a line through the logarithms of the mean errors, each size counting once, ± "
            "its standard error (± ? where two sizes do not tell it). The number of structures for a target is the one "
            "from which on the mean error stays within it, interpolated in the logarithms between measured sizes; "
            "≤ and > are the smallest and the largest size: nothing is extrapolated.",
        ),
        Note(
            "Cost",
            "n_train is the number of labelled structures of the system, hence of DFT calculations, those for "
            "validation included; what a universal potential was pretrained on is not counted. On a Pareto front are "
            "the entries than which none is as good in both and better in one, by their means. Speeds compare only "
            "where one machine measured them.",
        ),
    ]
    if content.sources:
        published = (
            "Numbers in brackets are sources. Where a figure was taken from one, test structures, DFT settings and "
            "the definition of the error may be others than here; it is one value without a spread."
        )
        notes.append(Note("Published figures", published))
    return notes
