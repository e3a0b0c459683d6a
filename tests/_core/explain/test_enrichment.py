from math import comb

import numpy as np
import pytest
from scipy.stats import fisher_exact

from scggml._core.explain.enrichment import over_representation

CASES = [(3, 5, 6, 20), (0, 5, 6, 20), (5, 5, 6, 20), (1, 20, 6, 20), (2, 40, 100, 2000)]


@pytest.mark.parametrize(("k", "K", "n", "N"), CASES)
def test_the_tail_is_that_of_the_sum(k, K, n, N):
    truth = sum(comb(K, i) * comb(N - K, n - i) for i in range(k, min(K, n) + 1)) / comb(N, n)
    assert over_representation(np.array([k]), np.array([K]), n, N)[0] == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize(("k", "K", "n", "N"), CASES[:3])
def test_the_tail_is_fishers_exact_test(k, K, n, N):
    truth = fisher_exact([[k, K - k], [n - k, N - K - n + k]], alternative="greater").pvalue
    assert over_representation(np.array([k]), np.array([K]), n, N)[0] == pytest.approx(truth, rel=1e-9)
