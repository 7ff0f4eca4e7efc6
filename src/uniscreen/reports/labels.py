"""Where to put the names of points in a figure, so that they can be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHARACTER, _LINE = 6.5, 14.0
"""Pixels that a character is wide and a line of text high."""

_GAP = 9.0
"""Pixels from the middle of a mark to its label."""

_POSITIONS = {
    "top center": (0, -1),
    "bottom center": (0, 1),
    "middle right": (1, 0),
    "middle left": (-1, 0),
    "top right": (1, -1),
    "top left": (-1, -1),
    "bottom right": (1, 1),
    "bottom left": (-1, 1),
}
"""plotly's names, the better first, and on which side of the mark they are (x to the right, y down)."""


@dataclass(frozen=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: _Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def label_positions(
    points: Sequence[tuple[float, float]], texts: Sequence[str], first: str = "top center"
) -> list[str | None]:
    """Choose plotly's text position for each point, in order; None where a label would cover a mark or another label.

    ``points`` in pixels, y down. The names that come first have the choice of places, and ``first`` is the best place.
    """
    sides = {first: _POSITIONS[first], **_POSITIONS}
    half = _GAP * 0.75
    taken = [_Box(x - half, y - half, x + half, y + half) for x, y in points]
    chosen: list[str | None] = []
    for (x, y), text in zip(points, texts, strict=True):
        boxes = {name: _box(x, y, len(text) * _CHARACTER, *side) for name, side in sides.items()}
        free = next((name for name, box in boxes.items() if not any(box.overlaps(other) for other in taken)), None)
        if free is not None:
            taken.append(boxes[free])
        chosen.append(free)
    return chosen


def _box(x: float, y: float, width: float, right: int, down: int) -> _Box:
    middle_x = x + right * (_GAP + width / 2)
    middle_y = y + down * (_GAP + _LINE / 2)
    return _Box(middle_x - width / 2, middle_y - _LINE / 2, middle_x + width / 2, middle_y + _LINE / 2)
