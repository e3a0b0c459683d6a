"""Over-representation of gene sets."""

import numpy as np
from scipy.stats import hypergeom

from scggml._core.cohort import Floats, Integers


def over_representation(hits: Integers, term_sizes: Integers, query_size: int, domain_size: int) -> Floats:
    r"""Return (n_terms,) probability of at least as many hits by chance.

    A query of n out of N genes holds k of the K genes of a term with the probability of the hypergeometric distribution

    .. math:: P(X \ge k) = \sum_{i \ge k} \binom{K}{i} \binom{N - K}{n - i} \Big/ \binom{N}{n}
    """
    out: Floats = np.asarray(hypergeom.sf(hits - 1, domain_size, term_sizes, query_size), dtype=np.float64)
    return out
