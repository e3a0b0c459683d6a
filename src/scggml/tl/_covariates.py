"""Measure how strongly distances between samples follow the label, batches and other covariates."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.covariates import (
    check_keys,
    default_keys,
    find_label,
    read_covariate,
    read_groups,
    record_of,
    size_keys,
    write_covariates,
)
from scggml._anndata.keys import Keys
from scggml._anndata.messages import check_adata, choices, columns, logged, warn
from scggml._anndata.ownership import check_results
from scggml._anndata.results import params
from scggml._anndata.samples import read_distances
from scggml._core.checks import check_whole
from scggml._core.cohort import Floats, Integers
from scggml._core.evaluate.variance import Covariate, Share, share_alone, share_beyond
from scggml._core.explain.significance import benjamini_hochberg
from scggml._core.seeds import as_seed
from scggml._docs import documented

STREAM = 6
"""The random numbers of the permutations among those of a seed."""

NEARLY = 0.5
"""Adjusted share of the label that a nearly confounded covariate explains at least."""

NOTHING = Share(np.nan, np.nan, np.nan, np.nan, np.nan)


@documented
@logged("measuring what distances between samples follow")
def covariates(
    samples: AnnData,
    keys: Sequence[str] | None = None,
    *,
    key: str = "ggml",
    label_key: str | None = None,
    groups_key: str | None = None,
    n_perm: int = 999,
    rng: int | np.random.Generator = 0,
    copy: bool = False,
) -> AnnData | None:
    r"""Measure how strongly distances between samples follow the label, batch, age, sex and other covariates.

    With G, the doubly centred :math:`-\frac12 J D^{(2)} J`, and the hat matrix H of the columns of a covariate
    (indicators of categories, or a standardized number)

    .. math:: R^2 = \frac{tr(H G)}{tr(G)}, \qquad
        F = \frac{tr(H G) / m}{(tr(G) - tr(H G)) / (n - m - 1)}

    which for Euclidean distances is the share of the variance that a linear model explains (of one categorical
    covariate: PERMANOVA). Each covariate is measured alone, and beyond the label: what is added to a model that holds
    the label. Of the label the second is what it adds to a model of all other covariates that every sample has and that
    do not determine the label. A difference of batches that only looks like one of the label has a share alone and
    little beyond the label, and the label has little beyond it.

    P-values are those of F under permutations of the samples' values: among all, and within the classes of the label
    for what is beyond it. For the label, and for what is beyond a numeric label, residuals are permuted (Freedman and
    Lane). On the samples that a metric was learned on, distances follow the label by construction: there its share is
    no evidence, and held-out distances (`tl.cross_fit`) show what holds; the test of the label itself is
    `tl.permutation_test`, since the labels of other donors shape held-out metrics, too.

    Parameters
    ----------
    samples
        %(samples)s
    keys
        Columns of `.obs`. By default those with 2 to P/2 categories and those with numbers, without the names of
        samples and what was computed. The label, `n_cells` and the sequencing depth (`depth` or `total_counts`) are
        always among them, if they are in `.obs`. Numbers with two values are categories.
    key
        %(key_distances)s
    label_key
        Column of `.obs` with the label; by default that which the distances know.
    groups_key
        %(groups_key)s
        Donors are permuted as wholes; what varies within donors is permuted within them.
    n_perm
        Permutations of each covariate; the smallest p-value is 1 / (1 + `n_perm`).
    rng
        Seed or generator of the permutations.
    copy
        %(copy)s

    Returns
    -------
    None, or the copy if `copy`. Written is `.uns["ggml_covariates"]`, a dict:

    `table`
        DataFrame with a row for each covariate, the label first: `covariate`, `kind` (categorical or numeric),
        `n_samples` with a value, `r2`, `r2_adjusted` (Ezekiel; below 0 for less than a random column explains),
        `r2_null95` (95 % quantile of `r2_adjusted` under permutations), `F`, `p_value`, `p_adjusted`; the same with
        `_given_label` for what is beyond the label (of the label: beyond the others); `note`. `p_adjusted` is the false
        discovery rate (Benjamini and Hochberg) among the covariates; the label, which is not one of them, keeps its
        p-value. What cannot be computed is NaN, and `note` says why.
    `seen`
        Whether the metric was learned on these samples, if the distances know it.
    `params`
        Arguments; `others`, what the label is compared with; and which of `n_cells` and `depth` were not there.

    Samples without a value are left out of the rows of the covariate. One that all samples of a class lack, such as the
    age of the controls, says nothing about that class: a warning and `note` name it, and what is beyond the label is
    measured among the other classes.

    Raises
    ------
    KeyError
        No such distances or column.
    TypeError, ValueError
        Fewer than 3 samples, distances that are not finite, columns with times or infinite numbers, arguments out of
        range; a slot of the result that holds something else.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> samples = sg.tl.distances(
    ...     adata, metric="euclidean", sample_key="sample_id", label_key="label", progress=False
    ... )
    >>> sg.tl.covariates(samples, key="euclidean", n_perm=99)
    >>> samples.uns["euclidean_covariates"]["table"][["covariate", "p_value"]].round(2)
      covariate  p_value
    0     label     1.00
    1    offset     0.01
    2   n_cells      NaN

    References
    ----------
    McArdle and Anderson, *Fitting multivariate models to community data*, Ecology 2001; Freedman and Lane, *A
    nonstochastic interpretation of reported significance levels*, 1983; Peres-Neto et al., *Variation partitioning of
    species data matrices*, Ecology 2006, for adjusted shares.
    """
    check_adata(samples, "samples")
    D = read_distances(samples, key)
    if len(D) < 3:
        raise ValueError(f"samples has {len(D)} rows; at least 3 samples are needed.")
    if not np.isfinite(D).all():
        raise ValueError(
            f"samples.obsp[{Keys(key).distances!r}] has {int((~np.isfinite(D)).sum())} values that are not finite; "
            "compute it again with sg.tl.distances(adata)."
        )
    check_whole("n_perm", n_perm, 1)
    check_results(samples, key, "covariates", copy=copy)
    seed = as_seed(rng)
    given_keys = None if keys is None else check_keys(keys)
    groups = read_groups(samples, groups_key)
    label_name = find_label(samples, key, label_key)
    sizes, lacking = size_keys(samples)
    chosen = default_keys(samples, key, (label_name, groups_key)) if given_keys is None else given_keys
    names = [name for name in dict.fromkeys([*chosen, *sizes]) if name != label_name]
    label = None if label_name is None else read_covariate(samples, label_name, "label_key")
    rows = [_Row(read_covariate(samples, name, "keys")) for name in names]
    if not rows and label is None:
        raise ValueError(f"samples.obs has no covariate; pass keys ({choices(columns(samples))}).")
    for row in rows:
        row.inspect(label)
        if row.lacking:
            warn(
                f"samples.obs[{row.covariate.name!r}] is missing for all samples of {choices(row.lacking)} "
                f"({label_name}), so it says nothing about how these differ from others."
            )
    others = [row.covariate for row in rows if row.complete and label is not None and label.known.any()]
    plan = _Plan(D, groups, n_perm, seed)
    for place, row in enumerate(rows):
        plan.measure(row, [] if label is None else [label], place + 1)
    if label is not None:
        first = _Row(label)
        first.inspect(None)
        plan.measure(first, others, 0)
        told = ", ".join(other.name for other in others)
        first.notes.append(f"beyond {told}" if others else "no other covariate that all samples have")
        confounded = ", ".join(row.covariate.name for row in rows if row.confounded)
        if confounded:
            first.notes.append(f"cannot be told apart from {confounded}")
        rows.insert(0, first)
    entry = {
        "table": _table(rows, label_name),
        "params": params(
            key=key,
            keys=given_keys,
            label_key=label_name,
            groups_key=groups_key,
            n_perm=n_perm,
            seed=seed,
            others=[other.name for other in others],
            **lacking,
        ),
    }
    seen = record_of(samples, key).get("seen")
    samples = samples.copy() if copy else samples
    write_covariates(samples, key, entry if seen is None else entry | {"seen": str(seen)})
    return samples if copy else None


@dataclass
class _Row:
    """A covariate with what is to be said about it, and what it explains."""

    covariate: Covariate
    notes: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    usable: bool = True
    complete: bool = False
    confounded: bool = False
    alone: Share = NOTHING
    beyond: Share = NOTHING

    def inspect(self, label: Covariate | None) -> None:
        """Find out what keeps the covariate from being measured, or from being told apart from the label."""
        values = self.covariate.values[self.covariate.known]
        n = len(np.unique(values))
        if n < 2:
            self.notes.append("one value" if n else "no values")
        elif self.covariate.kind == "categorical" and n == len(values):
            self.notes.append("as many categories as samples")
        self.usable = not self.notes
        numbers = pd.to_numeric(pd.Series(self.covariate.levels, dtype=object), errors="coerce").notna().to_numpy()
        if 3 <= numbers.sum() < len(numbers):
            words = [level for level, number in zip(self.covariate.levels, numbers, strict=True) if not number]
            self.notes.append(f"numbers beside text ({choices(words)}) are categories")
        if label is None or not self.usable:
            return
        if label.kind == "categorical":
            self.lacking = [
                level for code, level in enumerate(label.levels) if not self.covariate.known[label.values == code].any()
            ]
        if self.lacking:
            self.notes.append(f"missing in {label.name} {choices(self.lacking)}")
        self.confounded, said = _confounding(self.covariate, label)
        self.notes += [said] if said else []
        self.complete = bool(self.covariate.known[label.known].all()) and not self.confounded


def _confounding(covariate: Covariate, label: Covariate) -> tuple[bool, str]:
    """Return whether a covariate tells the class of each sample that has a value, and what is to be said of it."""
    both = covariate.known & label.known
    values, classes = covariate.values[both], label.values[both]
    if label.kind == "numeric" or len(np.unique(classes)) < 2:
        return False, ""
    if covariate.kind == "numeric":
        spans = sorted((values[classes == c].min(), values[classes == c].max()) for c in np.unique(classes))
        apart = all(high < low for (_, high), (low, _) in pairwise(spans))
        return apart, f"confounded with {label.name}: ranges of classes do not overlap" if apart else ""
    counts = np.array([[((values == v) & (classes == c)).sum() for c in np.unique(classes)] for v in np.unique(values)])
    if ((counts > 0).sum(axis=1) == 1).all():
        return True, f"confounded with {label.name}: each category is in one class"
    n, m = counts.sum(), len(counts)
    spread = n - (counts**2).sum(axis=1) @ (1 / counts.sum(axis=1))  # of the classes within categories
    whole = n - (counts.sum(axis=0) ** 2).sum() / n
    told = 1 - (spread / (n - m)) / (whole / (n - 1)) if n > m else 0.0
    return False, f"nearly confounded with {label.name}, of which it explains {told:.0%}" if told >= NEARLY else ""


@dataclass(frozen=True)
class _Plan:
    """Measure one covariate after the other; distances and permutations are the same for all."""

    D: Floats
    groups: Integers
    n_perm: int
    seed: int

    def measure(self, row: _Row, given: list[Covariate], place: int) -> None:
        """Measure a covariate alone and beyond the given ones; say what cannot be measured."""
        if not row.usable:
            return
        # both from the start of one stream: where they are one test, as in a single class, they give one p-value
        alone, beyond = (np.random.default_rng([self.seed, STREAM, place]) for _ in range(2))
        found = share_alone(self.D, row.covariate, self.groups, n_perm=self.n_perm, rng=alone)
        row.alone = found or NOTHING
        more = None
        if given:
            more = share_beyond(self.D, row.covariate, given, self.groups, n_perm=self.n_perm, rng=beyond)
        row.beyond = more or NOTHING
        if found is None:
            row.notes.append("nothing to explain, or too few samples")
        elif given and more is None:
            names = given[0].name if len(given) == 1 else "the others"
            row.notes.append(f"nothing beyond {names} can be told, or too few samples")
        if any(share is not None and np.isnan(share.p_value) for share in (found, more)):
            row.notes.append("no p-value: nothing can be permuted")


def _table(rows: list[_Row], label_name: str | None) -> pd.DataFrame:
    """Return a row for each covariate, with false discovery rates."""
    out = pd.DataFrame(
        {
            "covariate": pd.Series([row.covariate.name for row in rows], dtype=object),
            "kind": pd.Series([row.covariate.kind for row in rows], dtype=object),
            "n_samples": np.array([int(row.covariate.known.sum()) for row in rows], dtype=np.int64),
        }
    )
    label = (out["covariate"] == label_name).to_numpy()
    for ending, shares in (("", [row.alone for row in rows]), ("_given_label", [row.beyond for row in rows])):
        out[f"r2{ending}"] = [share.r2 for share in shares]
        out[f"r2_adjusted{ending}"] = [share.r2_adjusted for share in shares]
        out[f"r2_null95{ending}"] = [share.null95 for share in shares]
        out[f"F{ending}"] = [share.F for share in shares]
        p = np.array([share.p_value for share in shares])
        out[f"p_value{ending}"] = p
        adjusted, tested = p.copy(), ~np.isnan(p) & ~label
        adjusted[tested] = benjamini_hochberg(p[tested])
        out[f"p_adjusted{ending}"] = adjusted
    out["note"] = pd.Series(["; ".join(row.notes) for row in rows], dtype=object)
    return out
