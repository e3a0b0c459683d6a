"""Canonical variates for labels with an order, for numbers, and for cohorts with technical batches."""

import numpy as np

from scggml._core.cohort import Cohort, Floats, Integers
from scggml._core.learn.canonical import pair_weights
from scggml._core.samples import Target
from scggml._core.transport.pairs import all_pairs


def signal_weights(cohort: Cohort, target: Target, batch: Integers | None) -> tuple[Integers, Floats, Floats]:
    r"""Pairs of samples with their weights in the scatter that should be small and in that which should be large.

    Classes: pairs of one class against pairs of two, classes (and pairs of classes) counting equally. Ordered classes:
    a pair of two classes counts in proportion to the square of the number of steps between them. Numbers: with
    :math:`\delta = |y_p - y_q|` and its median m, a pair counts :math:`\exp(-\delta^2 / 2 (m/2)^2)` as alike and
    :math:`\delta^2` as different. With batches only samples of one batch count as different, while alike ones of two
    batches do count: what tells batches apart is then spread within classes.
    """
    pairs = all_pairs(cohort.n_samples)
    gaps = np.abs(target.values[pairs[:, 0]] - target.values[pairs[:, 1]])
    if target.kind == "numbers":
        typical = float(np.median(gaps[gaps > 0])) / 2 if (gaps > 0).any() else 1.0
        within, between = np.exp(-0.5 * (gaps / typical) ** 2), gaps**2
    else:
        within, between = pair_weights(cohort, pairs)
        if target.kind == "ordered":
            between = between * gaps**2
    if batch is not None:
        between = np.where(batch[pairs[:, 0]] == batch[pairs[:, 1]], between, 0.0)
        if not between.any():
            raise ValueError(
                "No batch of batch_key holds training samples with different labels, so batch and label cannot be "
                "told apart. Pass another batch_key or None, and do not trust a separation of these labels."
            )
    used = (within > 0) | (between > 0)
    within, between = within[used], between[used]
    return pairs[used], within / max(within.sum(), np.finfo(float).tiny), between / between.sum()
