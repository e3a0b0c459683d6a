"""Coordinates from distances."""

import numpy as np
from scipy.linalg import eigh

from scggml._core.cohort import Floats


def classical_mds(distances: Floats, n_comps: int) -> tuple[Floats, Floats]:
    """Return coordinates (P, k) that fit the doubly centred squared distances best, and all eigenvalues (P,).

    Inner products of the coordinates approximate that matrix by least squares. Eigenvalues fall; negative ones show how
    far the distances are from Euclidean. The sign of each axis is fixed so that its largest absolute coordinate is
    positive.
    """
    squares = distances**2
    centred = squares - squares.mean(axis=0) - squares.mean(axis=1)[:, None] + squares.mean()
    values, vectors = eigh(-0.5 * centred)
    values, vectors = values[::-1], vectors[:, ::-1][:, :n_comps]
    peaks = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)
    coordinates: Floats = vectors * np.where(peaks < 0, -1.0, 1.0) * np.sqrt(np.maximum(values[:n_comps], 0.0))
    return coordinates, values
