"""P-values and false discovery rates from statistics under permuted labels, and intervals from refits."""

import numpy as np

from scggml._core.cohort import Floats


def benjamini_hochberg(p: Floats) -> Floats:
    """Return (n,) adjusted p-values: the smallest false discovery rate at which each is rejected."""
    n = len(p)
    order = np.argsort(p, kind="stable")
    steps = p[order] * n / np.arange(1, n + 1)
    out = np.empty(n)
    out[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0)
    return out


def pooled_significance(observed: Floats, permuted: Floats) -> tuple[Floats, Floats]:
    """Compute p-values of genes against the statistics of all genes under permuted labels, and false discovery rates.

    The p-value of a gene is the share of all numbers, of all genes, permuted or observed, that are at least its own.
    The expected number of false discoveries above a threshold is then that of all genes at once, whether or not the
    genes have one distribution, which is what Benjamini and Hochberg's procedure divides by the number of discoveries.

    Genes are associated with each other, so a second step controls the cohort as a whole: its smallest rate is
    compared with the smallest rates that permuted labels give by the same rule. The share of these that are as
    small is an exact p-value of "no gene differs", and no rate is let below it.

    Parameters
    ----------
    observed
        (n_genes,) larger is stronger.
    permuted
        (n_permuted, n_genes).

    Returns
    -------
    (n_genes,) p-values and (n_genes,) false discovery rates.
    """
    numbers = np.concatenate([observed[None], permuted])
    pool = np.sort(numbers, axis=None)
    p = (pool.size - np.searchsorted(pool, numbers, side="left")) / pool.size
    rates = np.array([benjamini_hochberg(row) for row in p])
    smallest = rates.min(axis=1)
    return p[0], np.maximum(rates[0], np.mean(smallest <= smallest[0]))


def align(loadings: Floats, reference: Floats) -> Floats:
    r"""Return (k, n) loadings turned and scaled onto a reference.

    W is known up to a rotation of its rows: the orthogonal Q that minimizes :math:`\|Q L - R\|_F` comes from the
    singular value decomposition of :math:`R L^T` (orthogonal Procrustes). The norm of L is brought to that of R.
    """
    left, _, right = np.linalg.svd(reference @ loadings.T, full_matrices=False)  # a refit may have fewer rows
    norm = np.linalg.norm(loadings)
    out: Floats = (left @ right) @ loadings * (np.linalg.norm(reference) / norm if norm > 0 else 1.0)
    return out


def in_top(strengths: Floats, n_top: int) -> Floats:
    """Return (..., n) 1 for the `n_top` largest numbers of the last axis that are above 0, else 0; equals in order."""
    order = np.argsort(-strengths, axis=-1, kind="stable")[..., :n_top]
    out = np.zeros(strengths.shape)
    np.put_along_axis(out, order, 1.0, axis=-1)
    return out * (strengths > 0)
