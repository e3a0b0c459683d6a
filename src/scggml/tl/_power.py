"""Say how many donors are needed."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from scggml._anndata.evaluation import read_evaluation, what_lacks
from scggml._anndata.keys import POWER
from scggml._anndata.messages import check_adata, logged, tell
from scggml._anndata.ownership import check_writable
from scggml._anndata.planned import FARTHEST, Planning
from scggml._anndata.preprocess import Preprocess
from scggml._anndata.results import check_result_key, params, write_result
from scggml._anndata.subject import Design, given_of, read_design, read_subject
from scggml._arguments import shown
from scggml._core.checks import check_number, check_whole, is_auto
from scggml._core.cohort import Integers
from scggml._core.evaluate.classify import ClassifierName
from scggml._core.evaluate.methods import ByDistance, FixedMetric
from scggml._core.evaluate.subsets import FEWEST_SIZES, donors_of, draw_subsets
from scggml._core.samples import LabelKind
from scggml._core.seeds import as_seed
from scggml._core.threads import n_threads
from scggml._core.transport.coreset import Summary
from scggml._docs import documented
from scggml.tl._cross_validate import run_folds
from scggml.tl._methods import as_methods, check_needs, wants_cells
from scggml.tl._permutation_test import POINTS


@documented
@logged("learning from subsets of the donors")
def power(
    adata: AnnData,
    sample_key: str | None = None,
    label_key: str | None = None,
    *,
    n_donors: int | Sequence[int] | None = None,
    key: str = "ggml",
    method: Any = None,
    power: float = 0.8,
    level: float = 0.05,
    confidence: float = 0.95,
    n_sizes: int = 6,
    n_draws: int = 20,
    preprocess: Literal["auto"] | Preprocess | Callable[[AnnData, AnnData], tuple[Any, Any]] | None = "auto",
    use_rep: str | None = None,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    label_kind: LabelKind | Literal["auto"] | Sequence[str] | None = None,
    reference_class: str | int | None = None,
    groups_key: str | None = None,
    batch_key: str | None = None,
    covariate_keys: Sequence[str] = (),
    weights_key: str | None = None,
    cell_type_key: str | None = None,
    classifier: ClassifierName = "knn",
    n_neighbors: int = 3,
    n_cells: int | Literal["auto"] | None = "auto",
    min_cells: int | None = None,
    summary: Summary = "auto",
    key_added: str = POWER,
    rng: int | np.random.Generator = 0,
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | None:
    r"""Say how many donors are needed: accuracy by the number of donors, and when a test would be significant.

    From the N donors of the cohort n are drawn again and again, classes in proportion; the method learns from them and
    predicts all others. The mean over draws, donors and classes is the balanced accuracy A(n) on new donors of a metric
    that was learned from n donors. Through several n goes the curve

    .. math:: A(n) = a - b\, n^{-c}, \qquad a \le 1,\ b \ge 0,\ \tfrac14 \le c \le 2,

    which is followed up to 2 N donors. Intervals are those of other cohorts of N donors (see *Method*): the curve is
    fitted again to resampled donors, beside whom one is always and one never recognized, with what other donors to
    learn from would change.

    A cohort of n donors that is tested by `permutation_test` in five folds learns from 4 n / 5 of them. Each donor is
    recognized with probability A(4 n / 5), independently, and with 1 / C without skill: the share of cohorts in which a
    one-sided test of the balanced accuracy is significant at `level` follows from sums of binomials.

    Parameters
    ----------
    adata
        %(adata_cells)s
    sample_key, label_key, groups_key
        %(keys_donors)s
        Without `sample_key` and `label_key` the metric that is stored as `key` is evaluated, as in `cross_validate`.
    n_donors
        Numbers of donors to tell the scores of, at most twice those of the cohort; by default these and twice these.
    key
        %(key_metric)s
    method
        What learns and predicts: a name or an object as in `cross_validate`; by default the stored metric, or
        `"canonical"`.
    power, level
        Share of cohorts in which the test is to be significant, and its largest p-value.
    confidence
        Share of cohorts whose intervals hold the truth.
    n_sizes, n_draws
        How many numbers of donors are drawn, from two of each class to nine tenths of all, and how often each is: the
        method learns `n_sizes * n_draws` times.
    preprocess, use_rep, layer, mask_var, label_kind, reference_class, batch_key, covariate_keys, weights_key
        As in `cross_validate`. Ordered classes are taken for classes; numbers are refused.
    cell_type_key, classifier, n_neighbors, n_cells, min_cells
        As in `cross_validate`.
    summary
        What stands for a sample. `"auto"` is that of the stored metric, or `Coreset(30)`, as in `permutation_test`.
    key_added
        %(key_result)s
    rng
        %(rng)s
    n_jobs
        %(n_jobs_processes)s
        Each has one draw at a time.
    progress
        %(progress)s
    copy
        %(copy)s

    Returns
    -------
    None, or the copy if `copy`. Written is `.uns["power"]`, a dict to be read with `get.power`:

    `curve`
        `metric` (`balanced_accuracy`, and `auroc` of two classes), `n_donors` to learn from, `value`, `low`, `high`,
        and whether that is `extrapolated`, for `n_donors` and others up to twice those of the cohort.
    `observed`
        The same for the numbers of donors that were drawn, without a curve, with `n_draws`.
    `power`
        Share of cohorts of `n_donors` donors in which the test would be significant: `value`, `low`, `high`.
    `needed`
        (3,) fewest donors from which on that is at least `power`, and its interval; NaN for more than twice the donors
        of the cohort, and without a signal.
    `signal`
        Whether the interval of the accuracy with all donors lies above chance.
    `asked`, `n_donors`, `classes`, `donors`
        `n_donors` as asked for; number of donors, in all and with samples of each class.
    `verdict`, `features`, `params`
        All that in words; what the features are, and the arguments.

    Raises
    ------
    KeyError, ValueError
        As `cross_validate`; labels that are numbers; classes of too few donors; `n_donors` beyond twice the donors.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=1, noise_scale=1.0, n_classes=2, n_samples=6, n_cells=10)
    >>> options = {"n_sizes": 3, "n_draws": 4, "n_jobs": 1, "progress": False}
    >>> sg.tl.power(adata, "sample_id", "label", n_donors=[12, 20], method="pseudobulk", **options)
    >>> bool(adata.uns["power"]["signal"])
    True

    References
    ----------
    Figueroa et al., *Predicting sample size required for classification performance*, BMC Medical Informatics and
    Decision Making 2012, for the curve; Hoeffding, *A class of statistics with asymptotically normal distribution*,
    1948, for the variance; Brown, Cai and DasGupta, *Interval estimation for a binomial proportion*, Statistical
    Science 2001, for the interval of Jeffreys.
    """
    check_adata(adata)
    check_result_key(adata, key_added, "power")
    check_writable(adata, copy=copy)
    n_threads(n_jobs)
    check_whole("n_sizes", n_sizes, FEWEST_SIZES)
    check_whole("n_draws", n_draws, 2)
    for name, share in (("power", power), ("level", level), ("confidence", confidence)):
        check_number(name, share, "a share in (0, 1)", 0, 1, open_low=True)
    seed = as_seed(rng)
    auto = is_auto(summary)
    subject = read_subject(
        adata,
        sample_key,
        label_key,
        key=key,
        preprocess=preprocess,
        mask_var=mask_var,
        n_cells=n_cells,
        seed=seed,
        given=given_of(locals()),
    )
    learned = subject.named(key)
    evaluated = learned[0] if method is None else method
    base = ByDistance(FixedMetric("euclidean"), classifier=classifier, n_neighbors=n_neighbors)
    name = evaluated if isinstance(evaluated, str) else "method"
    how: dict[str, Any] = {"composition": cell_type_key is not None, "summary": subject.reading.summary}
    methods = as_methods({name: evaluated}, base, learned, **how)
    subject = subject.in_few_points(POINTS) if auto else subject
    design = read_design(adata, subject, cell_type_key=cell_type_key)
    check_needs(methods, **what_lacks(subject, design))
    _check_classes(design, str(subject.reading.label_key))
    donors = donors_of(design.target, design.groups, design.batch)
    generator = np.random.default_rng([seed, 3])
    names = [str(one) for one in design.target.classes]
    draws = draw_subsets(donors, names, n_sizes=n_sizes, n_draws=n_draws, rng=generator)
    asked = _asked(n_donors, min(donors.sizes()), donors.n)
    evaluation = read_evaluation(subject, design, everything=wants_cells(methods))
    results = run_folds(
        [evaluation], draws, methods, seed, n_jobs=n_jobs, progress="learning curve" if progress else None
    )
    planning = Planning(design.target, donors, asked, power, level, confidence, name)
    found = planning.entry(results[name], generator) | {
        "features": evaluation.describe(),
        "params": evaluation.params()
        | params(
            cell_type_key=cell_type_key,
            method=name,
            power=float(power),
            level=float(level),
            confidence=float(confidence),
            n_sizes=n_sizes,
            n_draws=n_draws,
            classifier=classifier,
            n_neighbors=n_neighbors,
        ),
    }
    if evaluation.seen is not None:
        found["verdict"] += f" (The features {evaluation.seen!r} were computed on all cells, held-out ones included.)"
    tell(f"    {found['verdict']}")
    adata = adata.copy() if copy else adata
    write_result(adata, key_added, found | subject.mark())
    return adata if copy else None


def _check_classes(design: Design, label_key: str) -> None:
    """Raise for labels that are numbers."""
    if design.target.kind == "numbers":
        raise ValueError(
            f"adata.obs[{label_key!r}] holds numbers, of which no share is recognized; pass classes, such as ranges of "
            "these numbers (pandas.cut), or see sg.tl.permutation_test."
        )


def _asked(n_donors: int | Sequence[int] | None, least: int, there: int) -> Integers:
    """Return the numbers of donors that are asked about, rising; those that cannot be told of raise."""
    if n_donors is None:
        return np.array([there, FARTHEST * there])
    given: object = n_donors
    one = isinstance(given, int | np.integer) and not isinstance(given, bool)
    if not one and (isinstance(given, str | bytes | dict) or not hasattr(given, "__iter__")):
        raise TypeError(
            f"n_donors={shown(given)} is a {type(given).__name__}; pass a whole number, or a list of these, such as "
            f"[{there}, {FARTHEST * there}]."
        )
    numbers: list[Any] = [n_donors] if one else list(n_donors)  # type: ignore[arg-type]  # mypy does not follow `one`
    if not numbers:
        raise ValueError(f"n_donors is empty; pass numbers of donors, such as [{there}, {FARTHEST * there}].")
    for number in numbers:
        check_whole("n_donors", number, 1)
        if number > FARTHEST * there:
            raise ValueError(
                f"n_donors={shown(number)} is more than twice the {there} donors of this cohort, which say too little "
                f"about cohorts that large; pass at most {FARTHEST * there}."
            )
        if number < least:
            raise ValueError(
                f"n_donors={shown(number)} is less than {least}, the fewest that have two donors of each class in the "
                "proportions of this cohort."
            )
    return np.unique(np.array(numbers, dtype=np.int64))
