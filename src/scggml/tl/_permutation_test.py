"""Could random labels of the donors have done as well?"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from scggml._anndata.design import Design, read_design
from scggml._anndata.keys import PERMUTATION_TEST
from scggml._anndata.preprocess import Preprocess
from scggml._anndata.results import params, write_entry
from scggml._core.checks import check_whole
from scggml._core.cohort import Floats
from scggml._core.evaluate.classify import ClassifierName
from scggml._core.evaluate.folds import Fold, Split, make_folds
from scggml._core.evaluate.methods import ByDistance, Method
from scggml._core.evaluate.run import main_score, ranked
from scggml._core.labelings import n_labelings, p_value, permutation_blocks, permute
from scggml._core.learn.learner import LearnedMetric
from scggml._core.runner import in_parallel
from scggml._core.samples import LabelKind, Samples, Target
from scggml.tl._methods import as_methods

CHUNK = 4
"""Labelings that a worker scores before it reports."""


def permutation_test(
    adata: AnnData,
    sample_key: str,
    label_key: str,
    *,
    groups_key: str | None = None,
    strata_key: str | None = None,
    method: Any = "ggml",
    n_permutations: int = 200,
    preprocess: Literal["auto"] | Preprocess | Callable[[AnnData, AnnData], tuple[Any, Any]] | None = "auto",
    use_rep: str | None = None,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    label_kind: LabelKind | Literal["auto"] = "auto",
    cell_type_key: str | None = None,
    batch_key: str | None = None,
    split: Split = "stratified",
    n_splits: int = 5,
    n_repeats: int = 1,
    classifier: ClassifierName = "knn",
    n_neighbors: int = 3,
    n_cells: int | None = 100,
    min_cells: int = 1,
    key_added: str = PERMUTATION_TEST,
    rng: int = 0,
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | None:
    r"""Whether held-out donors are predicted better than if their labels were random.

    Labels are shuffled B times, and each time the whole evaluation is repeated: folds are drawn by the shuffled labels,
    all steps are refitted, the metric is learned anew, held-out donors are predicted. With the score T of the true
    labels and :math:`T_b` of the shuffled ones

    .. math:: p = \frac{1 + \#\{b : T_b \ge T\}}{1 + B}

    Labels belong to donors: a donor's samples with one label keep having one. Where the label varies within donors
    (before and after treatment) it is shuffled within donors only.

    Parameters
    ----------
    adata
        Cells x genes.
    sample_key, label_key, groups_key
        Columns of `.obs`: sample of each cell, label and donor of each sample.
    strata_key
        Column of `.obs` within whose values labels are shuffled, such as a site whose mix of labels is given.
    method
        What is tested: a name or an object as in `cross_validate`.
    n_permutations
        B. The smallest p-value that can come out is 1 / (1 + B).
    preprocess, use_rep, layer, mask_var, label_kind, cell_type_key, batch_key
        As in `cross_validate`.
    split, n_splits, n_repeats, classifier, n_neighbors, n_cells, min_cells
        As in `cross_validate`. The score is the mean over repeats of the balanced accuracy of all held-out samples
        (of the rank correlation for ordered labels and numbers). Equal balanced accuracies, of which few samples give
        many, are ordered by how much nearer the true class is than another one (or by its probability).
    key_added
        Slot of the result.
    rng
        Seed of shuffles and folds.
    n_jobs
        Processes; None for what `joblib.parallel_config` says, or else all cores.
    progress
        Show a progress bar.
    copy
        Write into a copy and return it.

    Returns
    -------
    None, or the copy if `copy`. Written is `.uns["permutation_test"]`, a dict: `observed` (T), `null` (B,), `p_value`,
    `n_labelings` (how many different shuffles there are; a p-value cannot be much smaller than one over their number),
    `metric`, `verdict` (a sentence), `params`.

    Raises
    ------
    KeyError, ValueError
        As `cross_validate`; also if the donors and strata allow no other labeling than the true one.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=4, n_cells=10)
    >>> sg.tl.permutation_test(
    ...     adata, "sample_id", "label", n_permutations=19, n_splits=2, n_jobs=1, progress=False
    ... )
    >>> adata.uns["permutation_test"]["p_value"]
    0.05

    References
    ----------
    Ojala and Garriga, *Permutation tests for studying classifier performance*, JMLR 2010; Phipson and Smyth,
    *Permutation p-values should never be zero*, 2010.
    """
    check_whole("rng", rng, 0, "; the same seed gives the same result")
    check_whole("n_permutations", n_permutations, 1)
    generator = np.random.default_rng(rng)
    design = read_design(
        adata,
        sample_key,
        label_key,
        groups_key=groups_key,
        use_rep=use_rep,
        layer=layer,
        mask_var=mask_var,
        preprocess=preprocess,
        label_kind=label_kind,
        cell_type_key=cell_type_key,
        batch_key=batch_key,
        strata_key=strata_key,
        n_cells=n_cells,
        min_cells=min_cells,
        rng=generator,
    )
    named = {method if isinstance(method, str) else "method": method}
    base = ByDistance(LearnedMetric(), classifier=classifier, n_neighbors=n_neighbors)
    tested = as_methods(named, base, composition=cell_type_key is not None)
    trial = Trial(
        design=design,
        method=next(iter(tested.values())),
        split=split,
        n_splits=n_splits,
        n_repeats=n_repeats,
        seed=int(generator.integers(2**31)),
    )
    labelings, possible = _labelings(design, n_permutations, generator, label_key)
    scores = _score_all(trial, labelings, n_jobs, "permutations" if progress else None)
    observed, null = float(scores[0, 0]), scores[1:, 0]
    order = ranked(scores)
    p = p_value(float(order[0]), order[1:])
    metric = "balanced_accuracy" if design.target.kind == "classes" else "spearman"
    found = {
        "kind": "permutation_test",
        "observed": observed,
        "null": null,
        "p_value": p,
        "n_labelings": possible,
        "metric": metric,
        "verdict": _verdict(observed, null, p, possible, metric),
        "params": params(
            sample_key=sample_key,
            label_key=label_key,
            groups_key=groups_key,
            strata_key=strata_key,
            method=method,
            n_permutations=n_permutations,
            preprocess=design.step,
            use_rep=use_rep,
            layer=layer,
            label_kind=design.target.kind,
            batch_key=batch_key,
            split=split,
            n_splits=n_splits,
            n_repeats=n_repeats,
            classifier=classifier,
            n_neighbors=n_neighbors,
            n_cells=n_cells,
            min_cells=min_cells,
            seed=rng,
        ),
    }
    adata = adata.copy() if copy else adata
    write_entry(adata, key_added, found)
    return adata if copy else None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The evaluation of one labeling; samples are prepared once for each set of training donors that comes up."""

    design: Design
    method: Method
    split: Split
    n_splits: int
    n_repeats: int
    seed: int

    def scores(self, labelings: list[Floats]) -> list[tuple[float, float]]:
        """The main score of each labeling; all of them, the true one included, draw folds from the same seed."""
        prepared: dict[bytes, Samples] = {}
        return [self._score(replace(self.design.target, values=values), prepared) for values in labelings]

    def _score(self, target: Target, prepared: dict[bytes, Samples]) -> tuple[float, float]:
        folds = make_folds(
            target,
            self.design.groups,
            split=self.split,
            n_splits=self.n_splits,
            n_repeats=self.n_repeats,
            rng=np.random.default_rng(self.seed),
        )
        return main_score(lambda fold: self._samples(fold, prepared), target, folds, self.method, self.seed)

    def _samples(self, fold: Fold, prepared: dict[bytes, Samples]) -> Samples:
        key = b"" if self.design.step is None else fold.train.tobytes()
        if key not in prepared:
            if len(prepared) >= 2 * self.n_splits * self.n_repeats:
                prepared.clear()
            prepared[key] = self.design.samples(fold)
        return prepared[key]


def _labelings(
    design: Design, n_permutations: int, rng: np.random.Generator, label_key: str
) -> tuple[list[Floats], float]:
    """The true labels and shuffled ones, and the number of different labelings that there are."""
    values = design.target.values
    blocks = permutation_blocks(values, design.groups, design.strata)
    possible = n_labelings(values, blocks)
    if possible < 2:
        raise ValueError(
            f"Donors and strata leave no other labeling of adata.obs[{label_key!r}] than the true one, so nothing can "
            "be tested. Pass a strata_key with more than one label in each stratum, or None."
        )
    return [values] + [permute(values, blocks, rng) for _ in range(n_permutations)], possible


def _score_all(trial: Trial, labelings: list[Floats], n_jobs: int | None, progress: str | None) -> Floats:
    """(1 + B, 2) scores; a labeling that comes up twice is scored once."""
    unique, place = np.unique(np.stack(labelings), axis=0, return_inverse=True)
    tasks = [(trial, list(unique[start : start + CHUNK])) for start in range(0, len(unique), CHUNK)]
    found = in_parallel(Trial.scores, tasks, n_jobs=n_jobs, progress=progress, unit="chunk")
    scores = np.array([score for part in found for score in part])
    out: Floats = scores[place.ravel()]
    return out


def _verdict(observed: float, null: Floats, p: float, possible: float, metric: str) -> str:
    name = "balanced accuracy" if metric == "balanced_accuracy" else "rank correlation"
    low, high = np.quantile(null, [0.025, 0.975])
    said = (
        f"held-out {name} {observed:.2f}; random labels reach {low:.2f} to {high:.2f} (95 % of {len(null)} shuffles); "
        f"p = {p:.3g}"
    )
    if p <= 0.05:
        return f"The labels are predicted better than random ones: {said}."
    few = f" Only {possible:.0f} labelings are possible, so a small p-value cannot come out." if possible < 40 else ""
    return f"No evidence that the labels are more than random: {said}.{few}"
