"""What the numbers of a fine-tuning's report mean and do not mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uniscreen.reports.notes import Note

if TYPE_CHECKING:
    from uniscreen.reports.training_results import TrainingResults


def training_notes(results: TrainingResults) -> list[Note]:
    """Notes, those that only some runs need included where they apply."""
    return [
        Note(
            "Three stages",
            "Before: the pretrained potential as it is published. Re-referenced: with a constant added for each atom "
            "of an element, which takes up that DFT codes and pseudopotentials count energies from different zeros; "
            "forces and stresses stay as they were. Trained: the potential of this folder. What training did is the "
            "step from re-referenced to trained.",
        ),
        Note("Which frames", _frames(results)),
        Note(
            "Force slope",
            "The slope of predicted against DFT forces through the origin. Below 1 the potential is too soft: forces, "
            "phonon frequencies and barriers come out too small. Universal potentials are, away from equilibrium (Deng "
            "et al., npj Comput. Mater. 11, 9 (2025)).",
        ),
        Note(
            "How errors are averaged",
            "Energies per atom, over frames; forces and stresses over their components, so that a frame of many atoms "
            "counts for more of the force error than a small one.",
        ),
        Note(
            "What small errors do not say",
            "They hold for structures like those of the data. A potential can have them and still fall into a hole of "
            "its energy in a long simulation, at a distance between atoms that no frame has, or forget the chemistry "
            "it knew: elements other than those trained on are less reliable than they were.",
        ),
    ]


def _frames(results: TrainingResults) -> str:
    sentences = []
    if "test" in results.sets:
        sentences.append("The test frames were only predicted.")
    if results.has_folds:
        sentences.append(
            "The training frames were dealt out in folds: each trained all members but one, and validated that one. "
            "As training frames their errors are those of the committee, which has seen them all; as validation frames "
            "those of the members that had not."
        )
    elif results.refitted:
        sentences.append(
            "The validation frames are predicted by a first training that held them out. After it training began once "
            "more, on all frames, and what that ended with is the potential of this folder: it was trained on the "
            "validation frames too, and is counted as such in the errors of the training frames."
        )
    else:
        sentences.append(
            "The validation frames chose the epoch whose weights are kept, so their error is a little too small; that "
            "of the training frames is more so."
        )
    sentences.append("If frames of one trajectory are on both sides, the errors are those of frames already known.")
    return " ".join(sentences)
