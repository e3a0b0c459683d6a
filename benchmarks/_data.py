"""Seeded cohorts that every script measures on: Gaussian mixtures whose proportions and means know the class."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

N_TYPES = 4
"""Cell types of each sample."""

SIGNAL = 3
"""Leading dimensions in which classes differ."""


def mixtures(n_samples: int, n_cells: int, d: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Clouds (n_cells, d) in single precision, sample by sample; the classes 0 and 1 take turns.

    A sample mixes the same four types in proportions of its own. The classes differ by the abundance of a type and by
    a shift of 1 in three dimensions; samples differ by a nuisance shift in all others.
    """
    shared = np.random.default_rng(seed)
    centers = 2.0 * shared.standard_normal((N_TYPES, d))
    for p in range(n_samples):
        rng = np.random.default_rng([seed, p])
        label = p % 2
        proportions = rng.dirichlet(np.array([6.0 + 6.0 * label, 6.0, 6.0, 6.0]))
        types = rng.choice(N_TYPES, n_cells, p=proportions)
        shift = 0.5 * rng.standard_normal(d)
        shift[:SIGNAL] = label
        yield (centers[types] + shift + rng.standard_normal((n_cells, d))).astype(np.float32)


def labels_of(n_samples: int) -> np.ndarray:
    """(P,) class of each sample."""
    return np.arange(n_samples) % 2


def start(k: int, d: int, seed: int = 0) -> np.ndarray:
    """(k, d) random orthonormal rows, exact in single precision."""
    rows = np.linalg.qr(np.random.default_rng([seed, 7]).standard_normal((d, k)))[0].T
    return rows.astype(np.float32).astype(np.float64)


class Setting(NamedTuple):
    """Samples, cells in each, dimensions, components."""

    P: int
    n: int
    d: int
    k: int


def save(folder: Path, setting: Setting) -> str:
    """Path of a cohort with a start in a folder, written if it is not there: rivals read the same bytes."""
    path = folder / f"{'_'.join(map(str, setting))}.npz"
    if not path.exists():
        clouds = np.stack(list(mixtures(setting.P, setting.n, setting.d)))
        np.savez(path, clouds=clouds, labels=labels_of(setting.P), W0=start(setting.k, setting.d))
    return str(path)


def load(path: str | Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clouds (P, n, d), labels (P,), W0 (k, d)."""
    with np.load(path) as file:
        return file["clouds"], file["labels"], file["W0"]
