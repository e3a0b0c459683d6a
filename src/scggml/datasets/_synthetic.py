"""The cohort with one planted dimension, as in the paper of the method."""

from itertools import product

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData

from scggml.datasets._layout import cell_table, check_sizes

SD = 1.5  # of every normal mode
WIDTH = 5.0  # of the uniform mode


def synthetic(
    *,
    n_classes: int = 3,
    n_samples: int = 10,
    n_modes: int = 3,
    n_cells: int = 100,
    n_noise: int = 199,
    rng: int | np.random.Generator = 0,
) -> AnnData:
    r"""Draw the paper's cohort: one dimension tells the classes apart, all others mislead.

    A sample of class :math:`c = 0, 1, \dots` with the nuisance offset :math:`o_s` is a mixture of `n_modes`
    clouds of `n_cells` cells each. Its own cloud (mode "specific") follows

    .. math::

        x_0 \sim \mathcal N(10 + 5 (c + 1),\ 1.5^2), \qquad
        x_g \sim \mathcal U(10 + o_s - 2.5,\ 10 + o_s + 2.5), \quad g \geq 1

    and all samples share the others (modes "shared_1", "shared_2", ...), with standard deviation 1.5 around
    0, 40, 80, ... in dimension 0 and around 0, 50, 100, ... in the noise dimensions. (Beyond 3 classes or 10
    samples per class these steps grow, so that no shared cloud lies within the range of the specific ones.)
    The offsets 1.5, 4.5, 7.5, ... are the same for each class. Thus the noise dimensions know nothing of the
    label, yet they dominate Euclidean distances: with many of them, a sample's nearest neighbors are those of other
    classes with its offset. (With one, steps of 3 between offsets compete with steps of 5 between classes: only
    samples further apart are misled.) The metric that separates the classes weighs dimension 0 alone.

    Parameters
    ----------
    n_classes
        Number of classes.
    n_samples
        Number of samples in each class.
    n_modes
        Number of clouds in each sample, the first of which is its own.
    n_cells
        Number of cells in each cloud.
    n_noise
        Number of noise dimensions: 1 or 199 in the paper.
    rng
        Seed, or a generator, which is advanced. The same seed gives the same bytes.

    Returns
    -------
    AnnData
        The cohort, with `n_obs = n_classes * n_samples * n_modes * n_cells` cells in the order of the samples.

        `.X`
            (n_obs, 1 + n_noise), float32: the features, without a unit.
        `.obs`
            `sample_id` and `label`, categorical; `mode`, categorical: the cloud of the cell;
            `offset`, float64: the nuisance offset of the sample.
        `.var`
            `signal`, bool: true for dimension 0, named "signal"; the others are "noise_1", "noise_2", ...
        `.uns["synthetic"]`
            The truth: `design`, `signal_features`, `class_means`, `offsets`, all arguments, and `seed`
            if `rng` is one.

    Raises
    ------
    ValueError
        If a size is not a whole number, less than 1, or less than 0 for `n_noise`.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_samples=4, n_cells=20, n_noise=9)
    >>> adata.shape
    (720, 10)
    >>> specific = adata[adata.obs["mode"] == "specific"]
    >>> specific.to_df().groupby(specific.obs["label"], observed=True)[["signal", "noise_1"]].mean().round()
            signal  noise_1
    label
    class0    15.0     16.0
    class1    20.0     16.0
    class2    25.0     16.0

    References
    ----------
    Kühn and Schaub, Global Ground Metric Learning with Applications to scRNA data, AISTATS 2025,
    PMLR 258:3295-3303, section on synthetic data.
    """
    sizes = {"n_classes": n_classes, "n_samples": n_samples, "n_modes": n_modes, "n_cells": n_cells}
    check_sizes(1, **sizes)
    check_sizes(0, n_noise=n_noise)
    means = 10.0 + 5.0 * np.arange(1, n_classes + 1)
    offsets = 1.5 + 3.0 * np.arange(n_samples)

    obs = cell_table(n_classes, n_samples, n_modes * n_cells)
    modes = pd.Index(["specific", *(f"shared_{m}" for m in range(1, n_modes))])
    mode = np.tile(np.repeat(np.arange(n_modes), n_cells), n_classes * n_samples)
    obs["mode"] = pd.Categorical.from_codes(mode, categories=modes)
    obs["offset"] = np.tile(np.repeat(offsets, n_modes * n_cells), n_classes)
    features = ["signal", *(f"noise_{g}" for g in range(1, n_noise + 1))]
    truth = {
        "design": "one signal dimension",
        "signal_features": ["signal"],
        "class_means": means,
        "offsets": offsets,
        **{name: int(size) for name, size in sizes.items()},
        "n_noise": int(n_noise),
    }
    if not isinstance(rng, np.random.Generator):
        truth["seed"] = int(rng)
    return AnnData(
        _features(means, offsets, (n_modes, n_cells, 1 + n_noise), np.random.default_rng(rng)),
        obs=obs,
        var=pd.DataFrame({"signal": np.arange(n_noise + 1) == 0}, index=features),
        uns={"synthetic": truth},
    )


def _features(
    means: npt.NDArray[np.floating],
    offsets: npt.NDArray[np.floating],
    shape: tuple[int, int, int],
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Draw all cells, (n_obs, 1 + n_noise), sample by sample so that only one is ever held in float64.

    `shape` is that of one sample: modes, cells of each, dimensions.
    """
    shared = np.arange(shape[0] - 1)[:, None]
    signal_centers = shared * max(40.0, means[-1] + 15.0)
    noise_centers = shared[..., None] * max(50.0, offsets[-1] + 21.5)
    X = np.empty((len(means) * len(offsets), *shape), dtype=np.float32)
    for cloud, (mean, offset) in zip(X, product(means, offsets), strict=True):
        cells = rng.normal(0.0, SD, size=shape)
        cells[0, :, 0] += mean
        cells[0, :, 1:] = 10.0 + offset + rng.uniform(-WIDTH / 2, WIDTH / 2, size=cells[0, :, 1:].shape)
        cells[1:, :, 0] += signal_centers
        cells[1:, :, 1:] += noise_centers
        cloud[...] = cells
    return X.reshape(-1, shape[-1])
