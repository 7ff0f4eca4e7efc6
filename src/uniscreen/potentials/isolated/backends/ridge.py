"""Linear least squares with a penalty on the size of the coefficients, chosen by cross-validation."""

from __future__ import annotations

import numpy as np

STRENGTHS = np.logspace(-8, 0, 17)
"""Of the penalty, relative to the largest singular value of equations whose columns have the norm 1."""


class Ridge:
    """Groups of equations (structures) arrive one after the other; what is kept does not grow with their number.

    Each group belongs to one fold, whose equations are kept as the triangle of a QR decomposition.
    """

    def __init__(self, n_folds: int, seed: int) -> None:
        self.n_folds = n_folds
        self.generator = np.random.default_rng(seed)
        self.order: list[int] = []
        self.triangles: list[np.ndarray] = []
        self.report = ""

    def add(self, rows: np.ndarray, targets: np.ndarray) -> None:
        """The equations rows (m, c) x = targets (m,) of one group."""
        equations = np.column_stack([rows, targets])
        if not self.triangles:
            self.triangles = [np.zeros((0, equations.shape[1]))] * self.n_folds
        if not self.order:
            self.order = self.generator.permutation(self.n_folds).tolist()
        fold = self.order.pop()
        self.triangles[fold] = _triangle([self.triangles[fold], equations])

    def solve(self) -> np.ndarray:
        """The coefficients with the penalty that, on average over the folds, predicts the one that is left out best."""
        folds = [triangle for triangle in self.triangles if len(triangle)]
        losses = np.zeros(len(STRENGTHS))
        if len(folds) > 1:
            for i, held_out in enumerate(folds):
                candidates = _candidates(_triangle(folds[:i] + folds[i + 1 :]))
                losses += np.square(held_out[:, :-1] @ candidates.T - held_out[:, -1:]).sum(axis=0)
        best = int(np.argmin(losses))
        lines = [f"penalty {strength:.2g} loss {loss:.6g}" for strength, loss in zip(STRENGTHS, losses, strict=True)]
        self.report = "\n".join([*lines, f"penalty {STRENGTHS[best]:.2g} is taken"])
        return _candidates(_triangle(folds))[best]


def _triangle(equations: list[np.ndarray]) -> np.ndarray:
    """Equations with the same sum of squares for every x, no more of them than coefficients and one."""
    return np.asarray(np.linalg.qr(np.concatenate(equations), mode="r"))


def _candidates(triangle: np.ndarray) -> np.ndarray:
    """Coefficients (strengths, c) for each penalty."""
    rows, targets = triangle[:, :-1], triangle[:, -1]
    norms = np.linalg.norm(rows, axis=0)
    norms[norms == 0] = 1.0
    u, s, vt = np.linalg.svd(rows / norms, full_matrices=False)
    filters = s / (s**2 + (STRENGTHS[:, None] * s[0]) ** 2)
    return np.asarray((filters * (u.T @ targets)) @ vt / norms)
