"""A cohort of gene counts with planted genes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scggml._core.checks import check_number
from scggml._core.seeds import as_seed
from scggml._docs import documented
from scggml.datasets._layout import cell_table, check_sizes

DISPERSION = 0.3  # phi of the negative binomial: variance = mean + phi * mean^2
COUNTS_PER_GENE = 3.0  # median library size, per gene
LIBRARY_SD = 0.3  # of the log library size, between cells
DONOR_SD = 0.25  # of the log effect of a sample on a gene
MARKER_FOLD = 8.0  # of a type's marker genes over the other types
CONCENTRATION = 8.0  # Dirichlet weight of each type: proportions vary, no type dies out


@documented
def synthetic_counts(
    *,
    n_classes: int = 2,
    n_samples: int = 20,
    n_cells: int = 150,
    n_genes: int = 500,
    n_planted: int = 20,
    n_types: int = 4,
    log_fold_change: float = 2.5,
    rng: int | np.random.Generator = 0,
) -> AnnData:
    r"""Draw gene counts in which some genes of one cell type differ between the classes.

    The count of gene :math:`g` in a cell of type :math:`t`, of sample :math:`s` and class :math:`c = 0, 1, \dots` is

    .. math::

        y_g \sim \operatorname{NB}(\mu_g,\ \mu_g + 0.3 \mu_g^2), \qquad
        \mu_g = \ell\, \pi_{tg}\, e^{\delta_{sg}}\, 2^{c\, \beta_g [t = t^*]}

    with a log-normal library size :math:`\ell` around `3 * n_genes`, a profile :math:`\pi_t` (sum 1) that raises
    the type's own marker genes 8-fold, and the nuisance :math:`\delta_{sg} \sim \mathcal N(0, 0.25^2)` of the
    donor. The planted genes, drawn from the better expressed half of the genes without the markers, have
    :math:`\beta_g = \pm` `log_fold_change`, one half up and the other down, in the planted type :math:`t^*`
    ("type0") only; all others have :math:`\beta_g = 0`. Each sample has its own composition of types, drawn from one
    Dirichlet distribution whatever its class. With `n_planted=0` the cohort is a negative control.

    Parameters
    ----------
    n_classes
        %(n_classes)s
        The effect grows by one dose from each class to the next.
    n_samples
        Number of samples (donors) in each class.
    n_cells
        Number of cells in each sample.
    n_genes
        Number of genes.
    n_planted
        Number of genes that differ between the classes, at most a quarter of the genes.
    n_types
        Number of cell types. A fifth of the genes are markers, in equal shares.
    log_fold_change
        Effect of a planted gene, as log2 of the fold change between one class and the next.
    rng
        %(rng_synthetic)s

    Returns
    -------
    AnnData
        The cohort, with `n_obs = n_classes * n_samples * n_cells` cells in the order of the samples.

        `.X`
            (n_obs, n_genes), CSR, float32: raw counts.
        `.obs`
            `sample_id`, `label` and `cell_type`, categorical.
        `.var`
            `planted`, bool; `planted_effect`, float64: log2 fold change between one class and the next in the
            planted type, 0 if not planted; `marker_of`, categorical: a cell type or "none".
        `.uns["synthetic"]`
            The truth: `design`, `planted_genes`, `log_fold_changes` (of these genes, in their order),
            `planted_type`, all arguments, and `seed` if `rng` is one.

    Raises
    ------
    ValueError
        If a size is not a whole number or less than 1 (0 for `n_planted`), if more than a quarter of the genes
        are to be planted, if there are less than 5 genes for each type, or if `log_fold_change` is not finite.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic_counts(n_samples=3, n_cells=50, n_genes=100, n_planted=4)
    >>> adata.shape
    (300, 100)
    >>> truth = adata.uns["synthetic"]
    >>> truth["planted_type"], len(truth["planted_genes"])
    ('type0', 4)
    >>> sorted(adata.var.loc[truth["planted_genes"], "planted_effect"])
    [-2.5, -2.5, 2.5, 2.5]

    References
    ----------
    Zappia, Phipson and Oshlack, *Splatter: simulation of single-cell RNA sequencing data*, Genome Biology 2017,
    18:174, for gamma-Poisson counts with library sizes and marker effects.
    """
    sizes = {"n_classes": n_classes, "n_samples": n_samples, "n_cells": n_cells, "n_genes": n_genes, "n_types": n_types}
    check_sizes(1, **sizes)
    check_sizes(0, n_planted=n_planted)
    _check_genes(n_genes, n_planted, n_types, log_fold_change)
    generator = rng if isinstance(rng, np.random.Generator) else np.random.default_rng(as_seed(rng))
    genes = _draw_genes(n_genes, n_planted, n_types, log_fold_change, generator)

    obs = cell_table(n_classes, n_samples, n_cells)
    counts, types = [], []
    for c in np.repeat(np.arange(n_classes), n_samples):
        cell_types = _draw_types(n_cells, n_types, generator)
        types.append(cell_types)
        counts.append(_draw_counts(genes, int(c), cell_types, generator))
    type_names = pd.Index([f"type{t}" for t in range(n_types)])
    obs["cell_type"] = pd.Categorical.from_codes(np.concatenate(types), categories=type_names)

    var = genes.table(type_names)
    planted = var.index[var["planted"]]
    truth = {
        "design": "planted genes in one cell type",
        "planted_genes": list(planted),
        "log_fold_changes": var.loc[planted, "planted_effect"].to_numpy(),
        "planted_type": str(type_names[0]),
        **{name: int(size) for name, size in sizes.items()},
        "n_planted": int(n_planted),
        "log_fold_change": float(log_fold_change),
    }
    if not isinstance(rng, np.random.Generator):
        truth["seed"] = as_seed(rng)
    return AnnData(sparse.vstack(counts, format="csr"), obs=obs, var=var, uns={"synthetic": truth})


@dataclass(frozen=True)
class _Genes:
    """The true parameters of the genes: `profiles` (n_types, n_genes), `effect` and `marker_of` (n_genes,)."""

    profiles: npt.NDArray[np.float64]
    effect: npt.NDArray[np.float64]
    planted: npt.NDArray[np.bool_]
    marker_of: npt.NDArray[np.int64]

    def table(self, type_names: "pd.Index[str]") -> pd.DataFrame:
        width = max(4, len(str(len(self.effect))))
        return pd.DataFrame(
            {
                "planted": self.planted,
                "planted_effect": self.effect,
                "marker_of": pd.Categorical.from_codes(self.marker_of + 1, categories=type_names.insert(0, "none")),
            },
            index=[f"GENE{g:0{width}d}" for g in range(1, len(self.effect) + 1)],
        )


def _check_genes(n_genes: int, n_planted: int, n_types: int, log_fold_change: float) -> None:
    if n_planted > n_genes // 4:
        msg = f"n_planted={n_planted} is more than a quarter of n_genes={n_genes}: plant fewer or add genes."
        raise ValueError(msg)
    if n_genes < 5 * n_types:
        msg = f"n_genes={n_genes} is too few for n_types={n_types}: give at least 5 genes for each type."
        raise ValueError(msg)
    check_number("log_fold_change", log_fold_change, "a finite number, such as 1.5", -np.inf, open_low=False)


def _draw_genes(n_genes: int, n_planted: int, n_types: int, log_fold_change: float, rng: np.random.Generator) -> _Genes:
    """Draw base expression, markers and planted genes. Planted genes are no markers and are well expressed."""
    base = rng.lognormal(0.0, 1.0, size=n_genes)
    by_expression = np.argsort(-base, kind="stable")
    planted = rng.choice(by_expression[: n_genes // 2], size=n_planted, replace=False)
    effect = np.zeros(n_genes)
    effect[planted] = log_fold_change
    effect[planted[: n_planted // 2]] *= -1.0

    marker_of = np.full(n_genes, -1)
    others = rng.permutation(np.setdiff1d(np.arange(n_genes), planted))
    n_markers = n_genes // (5 * n_types)
    marker_of[others[: n_markers * n_types]] = np.repeat(np.arange(n_types), n_markers)
    profiles = np.where(marker_of == np.arange(n_types)[:, None], MARKER_FOLD, 1.0) * base
    profiles /= profiles.sum(axis=1, keepdims=True)
    return _Genes(profiles, effect, np.isin(np.arange(n_genes), planted), marker_of)


def _draw_types(n_cells: int, n_types: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw the types of the cells of one sample, (n_cells,)."""
    composition = rng.dirichlet(np.full(n_types, CONCENTRATION))
    return rng.choice(n_types, size=n_cells, p=composition)


def _draw_counts(
    genes: _Genes, dose: int, cell_types: npt.NDArray[np.int64], rng: np.random.Generator
) -> sparse.csr_matrix:
    """Draw the counts of one sample, (n_cells, n_genes)."""
    n_genes = len(genes.effect)
    donor = np.exp(rng.normal(0.0, DONOR_SD, size=n_genes))
    rates = genes.profiles * donor
    rates[0] *= 2.0 ** (dose * genes.effect)
    library = rng.lognormal(np.log(COUNTS_PER_GENE * n_genes), LIBRARY_SD, size=(len(cell_types), 1))
    mean = library * rates[cell_types]
    noise = rng.gamma(1.0 / DISPERSION, DISPERSION, size=mean.shape)
    return sparse.csr_matrix(rng.poisson(mean * noise).astype(np.float32))
