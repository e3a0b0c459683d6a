"""The synthetic cohort of the paper, in which one dimension separates classes and all others mislead."""

from itertools import product

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData

from scggml._core.checks import check_number
from scggml._core.seeds import as_seed
from scggml._docs import documented
from scggml.datasets._layout import cell_table, check_sizes

SIGNAL_SCALE = 1.25  # of dimension 0, as in the reference; `noise_scale` is that of the others
SD = 1.5  # of the normal modes, before scaling
WIDTH = 5.0  # of the uniform mode, before scaling


@documented
def synthetic(
    *,
    n_classes: int = 3,
    n_samples: int = 10,
    n_modes: int = 3,
    n_cells: int = 100,
    n_noise: int = 1,
    noise_scale: float = 10.0,
    rng: int | np.random.Generator = 0,
) -> AnnData:
    r"""Draw the paper's cohort: one dimension separates the classes, all others mislead.

    A sample of class :math:`c = 0, 1, \dots` with the offset :math:`o_s` is a mixture of `n_modes` clouds of `n_cells`
    cells each. The first one (mode "specific") depends on class and offset,

    .. math::

        x_0 \sim \tfrac54\, \mathcal N(10 + 5 (c + 1),\ 1.5^2), \qquad
        x_g \sim s\ \mathcal U(7.5 + o_s,\ 12.5 + o_s), \quad g \geq 1

    with s the `noise_scale`. The others ("shared_1", "shared_2", ...) are the same in all samples:
    :math:`x_0 \sim \tfrac54\, \mathcal N(40 m, 1.5^2)` and :math:`x_g \sim s\ \mathcal N(50 m, 1.5^2)` for
    :math:`m = 0, 1, \dots` (Beyond 3 classes or 10 samples per class 40 and 50 grow, so that no shared cloud lies
    within the range of the specific ones.)

    The offsets 1.5, 4.5, 7.5, ... are the same for each class, so the noise dimensions are independent of the label.
    Yet they dominate Euclidean distances, since offsets differ by 3 s (30 by default) and class means by 6.25 only: the
    nearest neighbor of a sample is one of another class with the same offset. A metric that separates the classes has
    to weigh dimension 0 alone. With `noise_scale=1` and few noise dimensions the cohort is an easy one.

    Parameters
    ----------
    n_classes
        %(n_classes)s
    n_samples
        Number of samples in each class.
    n_modes
        Number of clouds in each sample, the first of which is specific to it.
    n_cells
        Number of cells in each cloud.
    n_noise
        Number of noise dimensions. The reference implementation has 1 by default, the paper also 199.
    noise_scale
        s, the factor of the noise dimensions.
    rng
        %(rng_synthetic)s

    Returns
    -------
    AnnData
        The cohort, with `n_obs = n_classes * n_samples * n_modes * n_cells` cells in the order of the samples.

        `.X`
            (n_obs, 1 + n_noise), float32: the features, without a unit.
        `.obs`
            `sample_id` and `label`, categorical; `mode`, categorical: the cloud of the cell;
            `offset`, float64: the offset of the sample.
        `.var`
            `signal`, bool: true for dimension 0, named "signal"; the others are "noise_1", "noise_2", ...
        `.uns["synthetic"]`
            The truth: `design`, `signal_features`, `class_means` (of the specific cells in dimension 0), `offsets`, all
            arguments, and `seed` if `rng` is one.

    Raises
    ------
    ValueError
        A size is not a whole number, or less than 1 (less than 0 for `n_noise`); `noise_scale` is not positive.
    TypeError
        `noise_scale` is not a number.

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
    class0    18.0    160.0
    class1    25.0    158.0
    class2    31.0    160.0

    References
    ----------
    Kühn and Schaub, *Global Ground Metric Learning with Applications to scRNA data*, AISTATS 2025 (PMLR 258), section
    on synthetic data.
    """
    sizes = {"n_classes": n_classes, "n_samples": n_samples, "n_modes": n_modes, "n_cells": n_cells}
    check_sizes(1, **sizes)
    check_sizes(0, n_noise=n_noise)
    generator = rng if isinstance(rng, np.random.Generator) else np.random.default_rng(as_seed(rng))
    check_number("noise_scale", noise_scale, "a positive number; the default is 10", 0, open_low=True)
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
        "class_means": SIGNAL_SCALE * means,
        "offsets": offsets,
        **{name: int(size) for name, size in sizes.items()},
        "n_noise": int(n_noise),
        "noise_scale": float(noise_scale),
    }
    if not isinstance(rng, np.random.Generator):
        truth["seed"] = as_seed(rng)
    X = _features(means, offsets, (n_modes, n_cells, 1 + n_noise), float(noise_scale), generator)
    return AnnData(
        X,
        obs=obs,
        var=pd.DataFrame({"signal": np.arange(n_noise + 1) == 0}, index=features),
        uns={"synthetic": truth},
    )


def _features(
    means: npt.NDArray[np.floating],
    offsets: npt.NDArray[np.floating],
    shape: tuple[int, int, int],
    noise_scale: float,
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
        cells[..., 0] *= SIGNAL_SCALE
        cells[..., 1:] *= noise_scale
        cloud[...] = cells
    return X.reshape(-1, shape[-1])
