"""Coordinates that keep neighbors, from distances."""

import numpy as np
from sklearn.manifold import TSNE

from scggml._core.cohort import Floats
from scggml._core.mds import classical_mds

USUAL = 30.0
"""Perplexity where there are enough samples."""

EXACT = 500
"""Samples up to which all pairs push each other apart; of more, far ones do so in groups (Barnes-Hut)."""

SMALL = 1e-4
"""Standard deviation of the start along its first axis, small so that neighbors may come together."""


def usual_perplexity(n_samples: int) -> float:
    """Return 30, or a third of the other samples in small cohorts."""
    return min(USUAL, (n_samples - 1) / 3)


def embed_neighbors(distances: Floats, perplexity: float) -> tuple[Floats, float]:
    """Return (P, 2) coordinates by t-SNE, and the divergence that is left.

    The start is classical multidimensional scaling, so that nothing is random and far groups keep their places.
    """
    distances = distances / distances[distances > 0].mean()  # the search for bandwidths begins at 1
    start, _ = classical_mds(distances, 2)
    size = float(start[:, 0].std())
    method = "exact" if len(distances) <= EXACT else "barnes_hut"
    machine = TSNE(
        perplexity=perplexity,
        metric="precomputed",
        init=(start * (SMALL / size)).astype(np.float32),
        method=method,
        random_state=0,  # nothing is drawn
        n_jobs=1,
    )
    coordinates = machine.fit_transform(distances)
    return np.asarray(coordinates, dtype=np.float64), float(machine.kl_divergence_)
