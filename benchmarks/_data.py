"""Seeded cohorts that every script measures on: Gaussian mixtures whose proportions and means know the class."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import anndata as ad
import numpy as np
import pandas as pd

N_TYPES = 4
"""Cell types of each sample."""

SIGNAL = 3
"""Leading dimensions in which classes differ, by 1."""

NUISANCE = 6
"""Leading dimensions, those with signal among them, in which samples differ by chance, with standard deviation 1."""


def mixtures(n_samples: int, n_cells: int, d: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Clouds (n_cells, d) in single precision, sample by sample; the classes 0 and 1 take turns.

    A sample mixes the same four types in proportions of its own, and class 1 has more of the first. Shifts by chance
    cover the dimensions with signal, so that learning is not over after a few steps (in 50 dimensions; with more
    dimensions than samples any classes come apart).
    """
    shared = np.random.default_rng(seed)
    centers = 2.0 * shared.standard_normal((N_TYPES, d))
    for p in range(n_samples):
        rng = np.random.default_rng([seed, p])
        label = p % 2
        proportions = rng.dirichlet(np.array([2.0 + label, 2.0, 2.0, 2.0]))
        types = rng.choice(N_TYPES, n_cells, p=proportions)
        shift = np.zeros(d)
        shift[:NUISANCE] = rng.standard_normal(min(NUISANCE, d))
        shift[:SIGNAL] += label
        yield (centers[types] + shift + rng.standard_normal((n_cells, d))).astype(np.float32)


def labels_of(n_samples: int) -> np.ndarray:
    """(P,) class of each sample."""
    return np.arange(n_samples) % 2


def as_anndata(X: np.ndarray, n_samples: int) -> ad.AnnData:
    """Return cells (P n, d), sample by sample, as an AnnData with the columns `sample_id` and `label`."""
    samples = np.repeat(np.arange(n_samples), len(X) // n_samples)
    obs = pd.DataFrame(
        {
            "sample_id": pd.Categorical([f"s{p}" for p in samples]),
            "label": pd.Categorical([f"c{c}" for c in labels_of(n_samples)[samples]]),
        },
        index=[f"cell{i}" for i in range(len(X))],
    )
    return ad.AnnData(X, obs=obs)


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
