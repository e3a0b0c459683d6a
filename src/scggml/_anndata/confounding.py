"""Refuse batches and covariates that cannot be told from the label, before any cell is read, and warn of some more."""

import numpy as np

from scggml._anndata.messages import choices, warn
from scggml._anndata.reading import Reading
from scggml._anndata.selection import Selection
from scggml._core.learn.covariates import free_samples, left_within
from scggml._core.samples import Target, mixed_batches

BARELY = 0.1
"""Share of the variance of a covariate within labels below which its slope there is carried too far."""

FREE = 2
"""Samples that must be free, after labels and covariates, for each covariate."""


def check_confounding(reading: Reading, selection: Selection, target: Target) -> None:
    """Raise if a batch or a covariate cannot be told from the label, or covariates use up all samples.

    Warns of covariates that hardly vary within labels, and of too many.
    """
    label = f"adata.obs[{reading.label_key!r}] (label_key)"
    if reading.batch_key is not None:
        batch = selection.codes(reading.batch_key, "batch_key")
        if not mixed_batches(target, batch):
            raise ValueError(
                f"No batch of batch_key={reading.batch_key!r} holds samples with different labels of {label}, so batch "
                "and label cannot be told apart. Pass another batch_key or None, and do not trust a separation of "
                "these labels."
            )
    covariates = reading.covariates(selection)
    if covariates is not None:
        _check_covariates(reading, covariates, target, label)


def _check_covariates(reading: Reading, covariates: np.ndarray, target: Target, label: str) -> None:
    keys, within = reading.covariate_keys, left_within(covariates, target)
    same = [key for key, left in zip(keys, within, strict=True) if left == 0]
    if same:
        raise ValueError(
            f"covariate_keys: {choices(same)} of adata.obs is the same for all samples of one label of {label}, so its "
            "effect cannot be told from that of the label and nothing of it could be taken off. Leave it out, and do "
            "not trust a separation of these labels."
        )
    n, q = covariates.shape
    free = free_samples(covariates, target)
    if free <= 0:
        raise ValueError(
            f"covariate_keys has {q} columns, and {n} samples have no more than these and the labels explain: any "
            "difference would be taken off. Pass fewer covariates."
        )
    if free < FREE * q:
        warn(
            f"covariate_keys has {q} columns for {n} samples: beside these and the labels only {free} are free, so "
            "their effects are mostly noise, which is added to the cells. Pass fewer covariates."
        )
    far = [f"{key!r} ({left:.0%})" for key, left in zip(keys, within, strict=True) if left < BARELY]
    if far:
        warn(
            f"covariate_keys: {', '.join(far)} of adata.obs hardly varies within labels of {label} (share of its "
            "variance in brackets): its slope there is carried over the distance between labels, and what is taken "
            "off is mostly noise. Compare samples of the same range, or leave it out."
        )
