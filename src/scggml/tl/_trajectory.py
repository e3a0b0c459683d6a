"""Order samples, and find genes and cell types that change along the order."""

from dataclasses import dataclass, replace
from math import factorial, prod
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.covariates import read_groups, record_of
from scggml._anndata.drawn import sample_genes
from scggml._anndata.genes import Component
from scggml._anndata.messages import check_adata, choices, columns, logged, tell
from scggml._anndata.ownership import check_results
from scggml._anndata.results import params
from scggml._anndata.samples import read_distances
from scggml._anndata.study import Study, read_label
from scggml._anndata.tested import Gate
from scggml._anndata.trajectory import (
    HELD_OUT,
    Folds,
    Source,
    Values,
    along_diffusion,
    diffusion_order,
    expression_of,
    first_sample,
    read_folds,
    source_of_distances,
    source_of_scores,
    write_trajectory,
)
from scggml._core.checks import check_whole
from scggml._core.cohort import Floats, Integers
from scggml._core.explain.trends import association, association_test, basis, both_rates, contrasts, curves, curves_test
from scggml._core.seeds import as_seed
from scggml._core.threads import n_threads
from scggml._docs import documented

STREAM = 7
"""The random numbers of folds and permutations among those of a seed."""

LEVEL = 0.05
"""False discovery rate of the genes that the verdict counts."""

FEWEST = 6
"""Samples that an order needs at least."""


@documented
@logged("ordering samples")
def trajectory(
    samples: AnnData,
    adata: AnnData | None = None,
    *,
    key: str = "ggml_held_out",
    component: Component | None = None,
    root: str | None = None,
    label_key: str | None = None,
    groups_key: str | None = None,
    batch_key: str | None = None,
    cell_type_key: str | None = None,
    layer: str | None = None,
    n_neighbors: int = 15,
    n_folds: int = 5,
    n_perm: int = 499,
    rng: int | np.random.Generator = 0,
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | None:
    r"""Order samples, such as by severity, and find genes and cell types that change along the order.

    Samples are ordered by diffusion pseudotime of stored distances, or by their mean score on a component. The order
    begins where the label is lowest (or at its first class), or at `root`. Take held-out distances: under a metric that
    was learned on the samples they follow the label by construction.

    An order that is made of genes makes genes significant: the noise of a sample's cells is in its place and in its
    genes. So cells of each sample are dealt into folds at random; samples are ordered by the cells outside of a fold,
    and genes are read in it. With the orthonormal polynomials :math:`b_{if}` (of degree i = 1, 2) of the ranks of P
    samples without fold f, and the ranks :math:`y_f` of their mean expression in it, the statistic of a gene is

    .. math:: \max_i \frac{\big(\sum_f b_{if}^T y_f\big)^2}{V_i}, \qquad
        V_i = \frac{1}{P - 1} \sum_{f, g} (b_{if}^T b_{ig}) (y_f^T y_g)

    Its p-value comes from permuted samples (within batches; of donors with different labels, within the donor); all
    genes share the permuted numbers. An order may also follow what has nothing to do with the label, such as
    composition. So where there is a label a gene must go with it, too: among the genes that follow the order (false
    discovery rate up to 10 %), the rate of the same test of its mean over all cells along the label is computed, and
    the larger rate of both counts. Shares of cell types are tested in the same way, as logarithms of the share less
    their mean.

    The order itself is compared with the label. Under held-out metrics the p-value is that of `tl.component_test`,
    which permutes labels and learns again; it is run if it has not been. For distances that no label has shaped, labels
    are permuted. No false discovery rate is below this p-value: along an order that means nothing nothing is found.

    Parameters
    ----------
    samples
        %(samples)s
    adata
        Cells of these samples. Without them there is an order of stored distances, and genes have no p-values.
    key
        %(key_distances)s
        With `component` the key of the metric.
    component
        Order by the mean score on this component (under metrics that have not seen the donor, of `tl.cross_fit`, where
        samples are those that the metric was learned on) instead of by distances.
    root
        Name of the sample at which pseudotime begins.
    label_key
        Column of `samples.obs` that the order may follow; by default that which the distances know. Classes without an
        order are compared by the share of the variance of ranks between them.
    groups_key, batch_key
        Columns of `samples.obs` with donors and batches; by default those of the metric. Samples of one donor, label
        and batch count once.
    cell_type_key
        Column of `adata.obs` with cell types, whose shares are followed too.
    layer
        Layer with the expression to follow; by default as in `tl.rank_genes`.
    n_neighbors
        Neighbors in the graph of samples, as in `tl.neighbors`; doubled until the graph is in one piece.
    n_folds
        Number of folds of cells; samples with fewer cells are ordered, but not tested.
    n_perm
        Number of permutations.
    rng
        %(rng)s
    n_jobs
        %(n_jobs_threads)s
    progress
        %(progress)s
    copy
        %(copy)s

    Returns
    -------
    None, or the copy if `copy`. Written are

    `samples.obs["ggml_held_out_pseudotime"]`
        (P,) order, from 0 to 1.
    `samples.uns["ggml_held_out_trajectory"]`
        dict: `genes`, a DataFrame with a row for each gene, the most significant first: `gene`, `rho` (Spearman), `r2`
        (share of the variance between samples that the curve explains), `change` (end of the curve less its start, in
        units of the expression), `shape` ("increases", "decreases", "peaks", "dips", "constant"), `p_value` along the
        order, `p_label` along the label, `p_adjusted` (false discovery rate of both); `cell_types`, the same with
        `cell_type`, the mean `share`, and `change` of the share; `association` with the label, `measure` (what it is)
        and its `p_value`; `verdict`, all in words; `seen` ("held out", "training", "other") if known; `params`.
    `samples.obsm["ggml_held_out_cell_types"]`
        (P, n_types) DataFrame: shares of cell types, with `cell_type_key`.

    `adata.uns["ggml_components"]`
        The test of components, where it ran for the p-value of the order.

    P-values are NaN without `adata`, for distances that cannot be computed again (those not of `tl.distances`),
    and on samples that the metric was learned on.

    Raises
    ------
    KeyError
        No such distances, metric, column, root or component.
    TypeError, ValueError
        Fewer than 6 samples, samples that are not in `adata`, distances of another metric, arguments out of range;
        slots of the result that hold something else.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=20)
    >>> sg.tl.ggml(adata, "sample_id", "label", label_kind=["class0", "class1", "class2"], n_comps=2, progress=False)
    >>> sg.tl.cross_fit(adata, n_splits=3, progress=False)
    >>> samples = sg.tl.distances(adata, held_out=True, progress=False)
    >>> sg.tl.trajectory(samples, adata, n_perm=99, n_jobs=1, progress=False)
    >>> found = samples.uns["ggml_held_out_trajectory"]
    >>> found["association"] > 0.8
    True

    References
    ----------
    Haghverdi et al., *Diffusion pseudotime robustly reconstructs lineage branching*, Nature Methods 2016; Joodaki et
    al., *PILOT*, Molecular Systems Biology 2024, for trajectories of patients.
    """
    check_adata(samples, "samples")
    if adata is not None:
        check_adata(adata)
    if samples.n_obs < FEWEST:
        raise ValueError(f"samples has {samples.n_obs} rows; an order needs at least {FEWEST} samples.")
    for name, value, least in (("n_neighbors", n_neighbors, 2), ("n_folds", n_folds, 2), ("n_perm", n_perm, 1)):
        check_whole(name, value, least)
    check_results(samples, key, "trajectory", copy=copy)
    n_threads(n_jobs)
    seed = as_seed(rng)
    source, number = _source(samples, adata, key, component=component, root=root, n_jobs=n_jobs)
    study = _study(samples, key, source, label_key=label_key, groups_key=groups_key, batch_key=batch_key)
    selection, by_cells = source.selection, source.of_cells
    for name, asked in (("cell_type_key", cell_type_key), ("layer", layer)):
        if asked is not None and selection is None:
            raise ValueError(
                f"{name}={asked!r} is read from the cells: pass adata, and distances of sg.tl.distances, which know "
                "their cells."
            )
    if cell_type_key is not None and selection is not None:
        _, types = selection.categories(cell_type_key, "cell_type_key")  # what is missing is named before any work
        if "" in types:
            raise ValueError(
                f"adata.obs[{cell_type_key!r}] (cell_type_key) has cells whose type is an empty text, which no file "
                'would keep as a column; name it, such as "unknown", or leave these cells out.'
            )
    if number is None:
        D = read_distances(samples, key)
        begin = _begin(samples, root, D, study, n_neighbors=n_neighbors, seed=seed)
        order = diffusion_order(D, begin, n_neighbors, seed)
    elif by_cells is not None and selection is not None:
        order = by_cells(selection)
        order = (order - order.min()) / max(float(np.ptp(order)), 1e-300)
    followed = by_cells is not None and selection is not None and source.seen != "training"
    expression = expression_of(selection.adata, source.stored, layer) if followed and selection is not None else None
    follows = _follow(adata, source, study, order, n_perm=n_perm, seed=seed, n_jobs=n_jobs, progress=progress)
    found = _Found({"genes": _described(samples, study, order)})
    sizes = np.zeros(0, dtype=np.int64) if selection is None else selection.sizes
    tested = np.flatnonzero(sizes >= n_folds).astype(np.int64)  # others cannot be split
    if by_cells is not None and selection is not None and expression is not None and len(tested) >= FEWEST:
        measure = by_cells
        if number is None:
            start = int(np.searchsorted(tested, begin)) if begin in tested else int(np.argmin(order[tested]))
            measure = along_diffusion(by_cells, start, n_neighbors, seed)
        folds = read_folds(
            measure,
            selection.take(tested),
            expression,
            cell_type_key,
            n_folds=n_folds,
            rng=np.random.default_rng([seed, STREAM, 0]),
            n_jobs=n_jobs,
            progress=progress,
        )
        test = _Test(study.take(tested), order[tested], folds.orders, n_perm, seed, follows.p)
        found = _tested(test, folds, samples.obs_names, tested)
    entry = {
        **found.tables,
        "association": follows.strength,
        "measure": follows.measure,
        "p_value": follows.p,
        "verdict": _verdict(follows, source, found),
        "params": params(
            key=key,
            component=number,
            root=None if number is not None else str(samples.obs_names[begin]),
            label_key=None if study.label is None else study.label.name,
            groups_key=groups_key,
            batch_key=batch_key,
            cell_type_key=cell_type_key,
            layer=layer,
            n_neighbors=n_neighbors,
            n_folds=n_folds,
            n_perm=n_perm,
            seed=seed,
        ),
    }
    tell(f"    {entry['verdict']}")
    samples = samples.copy() if copy else samples
    write_trajectory(samples, key, order, entry if source.seen is None else entry | {"seen": source.seen}, found.shares)
    if follows.gate is not None and adata is not None:
        follows.gate.write(adata, "gene")
    return samples if copy else None


def _source(
    samples: AnnData,
    adata: AnnData | None,
    key: str,
    *,
    component: Component | None,
    root: str | None,
    n_jobs: int | None,
) -> tuple[Source, int | None]:
    """Return where the order comes from, and the number of the component, None for distances."""
    if component is None:
        read_distances(samples, key)
        return source_of_distances(samples, adata, key, n_jobs), None
    if adata is None:
        raise ValueError(f"component={component!r} orders by scores of cells; pass adata, too.")
    if root is not None:
        raise ValueError(f"root={root!r} goes with distances; component={component!r} has ends of its own.")
    return source_of_scores(samples, adata, key.removesuffix(HELD_OUT), component)


def _study(
    samples: AnnData,
    key: str,
    source: Source,
    *,
    label_key: str | None,
    groups_key: str | None,
    batch_key: str | None,
) -> Study:
    """Return label, donor and batch of the samples, by default in the columns of the metric."""
    reading = None if source.stored is None else source.stored.reading
    own = record_of(samples, key).get("label_key", None if reading is None else reading.label_key)
    if label_key is None and own is not None and str(own) in columns(samples):  # new samples may have no label
        label_key = str(own)
    label = read_label(samples, label_key, reading)
    if label is not None and len(np.unique(label.values[label.known])) < 2:
        label = None  # nothing that an order could follow
    if reading is not None:
        groups_key, batch_key = groups_key or reading.groups_key, batch_key or reading.batch_key
    batch = np.zeros(samples.n_obs, dtype=np.int64)
    if batch_key is not None:
        batch = read_groups(samples, batch_key, "batch_key")
    return Study(label, read_groups(samples, groups_key), batch)


def _begin(samples: AnnData, root: str | None, D: Floats, study: Study, *, n_neighbors: int, seed: int) -> int:
    """Return the position of the sample at which pseudotime begins."""
    if root is None:
        return first_sample(D, study.label, n_neighbors, seed)
    if root not in samples.obs_names:
        raise KeyError(f"root={root!r} is not in samples.obs_names, which has {choices(samples.obs_names)}.")
    return int(samples.obs_names.get_loc(root))


@dataclass(frozen=True)
class _Follows:
    """Hold how strongly an order follows the label, NaN without one; its p-value, and where that comes from."""

    strength: float = np.nan
    p: float = np.nan
    gate: Gate | None = None
    label: str | None = None
    measure: str = ""


def _follow(
    adata: AnnData | None,
    source: Source,
    study: Study,
    order: Floats,
    *,
    n_perm: int,
    seed: int,
    n_jobs: int | None,
    progress: bool,
) -> _Follows:
    """Compare an order with the label, by permuted labels; of a metric that has learned it with refits."""
    if study.label is None:
        return _Follows()
    label, among = study.label, study.take(study.labelled())
    place = among.merge_orders(order[study.labelled()])
    values = among.merge_orders(label.values[study.labelled()])  # one value in each unit
    strength = association(place, values, ordered=label.ordered)
    p, gate = np.nan, None
    if source.own_label != label.name:
        rng = np.random.default_rng([seed, STREAM, 1])
        p = association_test(place, values, among.blocks, ordered=label.ordered, n_perm=n_perm, rng=rng)
    elif source.seen == "held out" and adata is not None and source.stored is not None:
        check_results(adata, source.stored.key, "components")
        gate = Gate.of(adata, source.stored, seed=seed, own=True, n_jobs=n_jobs, progress=progress)
        p = gate.p
    measure = "Spearman correlation" if label.ordered else "share of the variance of ranks"
    return _Follows(strength, p, gate, label.name, measure)


@dataclass(frozen=True)
class _Found:
    """Hold the tables of what was followed, how many samples were tested, and their shares of cell types."""

    tables: dict[str, pd.DataFrame]
    n_tested: int = 0
    shares: pd.DataFrame | None = None


def _tested(test: "_Test", folds: Folds, names: pd.Index, tested: Integers) -> _Found:
    """Test genes, and cell types if they were read; samples that were not tested have no shares."""
    tables, shares = {"genes": test.table(folds.genes, "gene")}, None
    if folds.types is not None and folds.shares is not None:
        tables["cell_types"] = test.table(folds.types, "cell_type", folds.shares)
        shares = pd.DataFrame(folds.shares, names[tested], folds.types.names.astype(object)).reindex(names)
    return _Found(tables, len(tested), shares)


def _described(samples: AnnData, study: Study, order: Floats) -> pd.DataFrame:
    """Return the curves of the genes of samples, without p-values."""
    means = sample_genes(samples, list(samples.var_names), None).T
    found = curves(study.merge_orders(order), study.merge(means), study.blocks)
    nothing = np.full(samples.n_vars, np.nan)
    columns = {"rho": found.rho, "r2": found.r2, "change": found.change, "shape": found.shape}
    out = pd.DataFrame({"gene": samples.var_names.astype(str)} | columns | {"p_value": nothing, "p_adjusted": nothing})
    return out.sort_values("r2", ascending=False, kind="stable", ignore_index=True)


@dataclass(frozen=True)
class _Test:
    """Test values along one order after the other; samples, orders and permutations are the same for all."""

    study: Study
    order: Floats
    orders: Floats
    n_perm: int
    seed: int
    least: float

    def table(self, values: Values, name: str, shares: Floats | None = None) -> pd.DataFrame:
        """Return the curves of values and their significance; no rate is below that of the order."""
        study, blocks = self.study, self.study.blocks
        order = study.merge_orders(self.order)
        found = curves(order, study.merge(values.whole), blocks)
        bases = np.stack([basis(one, blocks) for one in study.merge_orders(self.orders)])
        p, rates = curves_test(
            bases,
            study.merge(values.apart),
            blocks,
            n_perm=self.n_perm,
            rng=np.random.default_rng([self.seed, STREAM, 2]),
        )
        # permutations may miss the true order by chance; there are no more orders than these
        least = float(np.fmax(max(rates.min(), 1 / prod(factorial(len(block)) for block in blocks)), self.least))
        columns: dict[str, Any] = {"p_value": p}
        if study.label is not None:  # an order has parts of its own, such as composition: the label has not
            known, ordered = study.labelled(), study.label.ordered
            among = study.take(known)
            label = contrasts(among.merge_orders(study.label.values[known]), among.blocks, ordered=ordered)
            p_label, _ = curves_test(
                label[None],
                among.merge(values.whole[known])[None],
                among.blocks,
                ordered=ordered,
                n_perm=self.n_perm,
                rng=np.random.default_rng([self.seed, STREAM, 3]),
            )
            columns["p_label"], rates = p_label, both_rates(rates, p_label)
        columns["p_adjusted"] = np.maximum(rates, least)
        out = pd.DataFrame({name: values.names.astype(object)})
        if shares is not None:
            out["share"] = shares.mean(axis=0)
            found = replace(found, change=curves(order, study.merge(shares), blocks).change)
        out = out.assign(rho=found.rho, r2=found.r2, change=found.change, shape=found.shape, **columns)
        return out.sort_values(["p_adjusted", "r2"], ascending=[True, False], kind="stable", ignore_index=True)


def _verdict(follows: _Follows, source: Source, found: _Found) -> str:
    """Return in words what was found."""
    if follows.label is None:
        said = ["There is no label to compare the order with."]
    else:
        p = "" if np.isnan(follows.p) else f", p = {follows.p:.3g}"
        said = [f"The order goes with {follows.label!r}: {follows.measure} {follows.strength:.2f}{p}."]
    if source.seen == "training":
        said.append(
            "The metric was learned on these samples, so it does so by construction, and nothing is tested; take "
            "held-out distances (sg.tl.cross_fit)."
        )
    elif not found.n_tested:
        said.append(
            "Genes have no p-values, since order and genes come from the same cells; pass adata, with distances of "
            f"sg.tl.distances, and at least {FEWEST} samples with a cell in each of n_folds."
        )
    else:
        counts = [
            f"{int((table['p_adjusted'] <= LEVEL).sum())} of {len(table)} {name.replace('_', ' ')}"
            for name, table in found.tables.items()
        ]
        said.append(
            f"{' and '.join(counts)} change along it (false discovery rate {LEVEL:.0%}, {found.n_tested} samples)."
        )
        if follows.p > LEVEL:
            said.append("No rate is below the p-value of the order.")
    return " ".join(said)
