"""From numbers under labels dealt anew to p-values and false discovery rates, and from refits to intervals."""

import numpy as np

from scggml._core.cohort import Floats


def benjamini_hochberg(p: Floats) -> Floats:
    """(n,) adjusted p-values: the smallest false discovery rate at which each is rejected."""
    n = len(p)
    order = np.argsort(p, kind="stable")
    steps = p[order] * n / np.arange(1, n + 1)
    out = np.empty(n)
    out[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0)
    return out


def pooled_significance(observed: Floats, dealt: Floats) -> tuple[Floats, Floats]:
    """P-values of genes against the numbers of all genes under labels dealt anew, and their false discovery rates.

    The p-value of a gene is the share of all numbers, of all genes, dealt or observed, that are at least its own. The
    expected number of false discoveries above a threshold is then that of all genes at once, whether or not the genes
    have one distribution, which is what Benjamini and Hochberg's procedure divides by the number of discoveries.

    Numbers of genes hang together, so a second step makes sure of the whole: the smallest rate of the cohort is
    compared with the smallest rates that the labels dealt anew give by the same rule. The share of these that are as
    small is an exact p-value of "no gene differs", and no rate is let below it.

    Parameters
    ----------
    observed
        (n_genes,) larger is stronger.
    dealt
        (n_dealt, n_genes).

    Returns
    -------
    (n_genes,) p-values and (n_genes,) false discovery rates.
    """
    numbers = np.concatenate([observed[None], dealt])
    pool = np.sort(numbers, axis=None)
    p = (pool.size - np.searchsorted(pool, numbers, side="left")) / pool.size
    rates = np.array([benjamini_hochberg(row) for row in p])
    smallest = rates.min(axis=1)
    return p[0], np.maximum(rates[0], np.mean(smallest <= smallest[0]))


def align(loadings: Floats, reference: Floats) -> Floats:
    r"""(k, n) loadings turned and scaled onto a reference.

    W is known up to a rotation of its rows: the orthogonal Q that minimizes :math:`\|Q L - R\|_F` comes from the
    singular value decomposition of :math:`R L^T` (orthogonal Procrustes). The norm of L is brought to that of R.
    """
    left, _, right = np.linalg.svd(reference @ loadings.T)
    norm = np.linalg.norm(loadings)
    out: Floats = (left @ right) @ loadings * (np.linalg.norm(reference) / norm if norm > 0 else 1.0)
    return out


def in_top(strengths: Floats, n_top: int) -> Floats:
    """(..., n) 1 where a number is among the `n_top` largest of the last axis and above 0, else 0; equals in order."""
    order = np.argsort(-strengths, axis=-1, kind="stable")[..., :n_top]
    out = np.zeros(strengths.shape)
    np.put_along_axis(out, order, 1.0, axis=-1)
    return out * (strengths > 0)
