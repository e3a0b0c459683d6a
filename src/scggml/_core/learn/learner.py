"""The learner of a metric: one object that learns from samples or from plain arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from scggml._core.checks import check_flag, check_whole
from scggml._core.cohort import Cohort, Floats, from_clouds
from scggml._core.folds import strata_of
from scggml._core.ids import array_target, as_codes
from scggml._core.learn.bags import Bags, draw_bags, mean_metric
from scggml._core.learn.canonical import Canonical, Variates, canonical_metric
from scggml._core.learn.choice import Choice, choose, drawn, settings_for, smaller
from scggml._core.learn.covariates import Adjustment, adjust, estimate
from scggml._core.learn.limits import N_COMPS, check_rank
from scggml._core.learn.metric import FIRST, Fit, Metric, checked_clouds, features_of, oriented
from scggml._core.learn.pair_weights import PairWeights, some_pairs, weigh_pairs
from scggml._core.learn.scatter import Scatter, Start, euclidean_start
from scggml._core.learn.shared import Work, with_work
from scggml._core.learn.shrinkage import Shrinkage, batch_directions, check_shrinkage, learned_share, mixture
from scggml._core.learn.spectrum import usable_rank
from scggml._core.learn.triplets import Triplets, fit, refine
from scggml._core.params import from_params, to_params
from scggml._core.samples import LabelKind, Samples, Target, blind, check_design, labelled, mixed_batches
from scggml._core.seeds import as_seed
from scggml._core.transport.plans import GroundCost
from scggml._core.transport.solver import Solver
from scggml._core.transport.solvers import SOLVERS, SolverName, as_solver
from scggml._core.transport.summaries import SUMMARIES
from scggml._docs import documented

MethodName = Literal["canonical", "triplets", "paper"]
Method = Canonical | Triplets

KINDS: dict[str, type] = {"canonical": Canonical, "triplets": Triplets, **SOLVERS, **SUMMARIES}
"""Objects with options, by the name under which files hold them."""

USUAL = 0.4
"""Share of the Euclidean metric where nothing is decided inside the training donors."""


def as_method(method: object) -> Method:
    """Return the method of that name, or the method itself."""
    if isinstance(method, Canonical | Triplets):
        return method
    named: dict[object, Method] = {"canonical": Canonical(), "triplets": Triplets(), "paper": Triplets.paper()}
    if isinstance(method, str) and method in named:
        return named[method]
    if isinstance(method, str):
        raise ValueError(
            f"method={method!r} is not known; choose from {get_args(MethodName)}, or pass a Canonical(...) or a "
            "Triplets(...)."
        )
    kind = f"the class {method.__name__}" if isinstance(method, type) else f"a {type(method).__name__}"
    raise TypeError(f"method is {kind}; pass a name of {get_args(MethodName)}, a Canonical(...) or a Triplets(...).")


@documented
@dataclass(frozen=True, kw_only=True, eq=False)
class Learner:
    r"""A learner of metrics: a method, and the options that all methods share.

    Parameters
    ----------
    method
        `"canonical"` (closed form), `"triplets"` (gradient steps on the triplet objective to convergence), `"paper"`
        (Kühn and Schaub as published), or an object with options: `Canonical(...)`, `Triplets(...)`.
    n_comps
        %(n_comps)s
    squared
        %(squared)s
    shrinkage
        %(shrinkage)s
    solver
        %(solver)s
    bags
        Learn from so many draws of 70 % of the donors of each class, and take the mean of the metrics,
        :math:`\frac1B \sum_b W_b^T W_b / v_b`, v the variance of the cells under each, before it is shrunk. 12
        are usual, and take about as many times longer; the history is that of the first. They also say which genes
        would be found again (`tl.gene_stability`), and what the metric would predict of a donor without it
        (`tl.predict`), without further fits. None for one metric of all donors.

    Examples
    --------
    >>> import numpy as np
    >>> import scggml as sg
    >>> rng = np.random.default_rng(0)
    >>> clouds = [rng.normal(size=(20, 3)) + [2 * (i % 2), 0, 0] for i in range(8)]
    >>> metric = sg.tl.Learner(n_comps=1).fit(clouds, ["a", "b"] * 4)
    >>> int(metric.importance.argmax())
    0

    References
    ----------
    Kühn and Schaub, *Global Ground Metric Learning with Applications to scRNA data*, AISTATS 2025 (PMLR 258).
    """

    method: MethodName | Method = "canonical"
    n_comps: int | None = None
    squared: bool = False
    shrinkage: Shrinkage = "auto"
    solver: SolverName | Solver = "exact"
    bags: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "method", as_method(self.method))
        object.__setattr__(self, "solver", as_solver(self.solver))
        if self.n_comps is not None:
            check_whole("n_comps", self.n_comps, 1, ", or None for up to 5")
        check_flag("squared", self.squared)
        check_shrinkage(self.shrinkage)
        if self.bags is not None:
            check_whole("bags", self.bags, 2, ", or None for one metric of all donors")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Learner) and _same(self.to_params(), other.to_params())

    __hash__ = None  # type: ignore[assignment]  # an array may be a part of it

    @property
    def cost(self) -> GroundCost:
        """Name of the ground cost in the learned space."""
        return "sqeuclidean" if self.squared else "euclidean"

    def to_params(self) -> dict[str, Any]:
        """Return the options as nested dicts that h5ad and zarr can hold."""
        return to_params(self, KINDS | {"learner": Learner})

    @staticmethod
    def from_params(params: Mapping[str, Any]) -> "Learner":
        """Return the learner that `to_params` wrote down."""
        found = from_params(params, KINDS | {"learner": Learner}, "learner")
        if not isinstance(found, Learner):
            raise ValueError(f"learner holds options of a {type(found).__name__}; those of a Learner are needed.")
        return found

    @documented
    def fit(
        self,
        clouds: Sequence[ArrayLike],
        labels: ArrayLike,
        *,
        label_kind: LabelKind | Literal["auto"] | Sequence[str] = "auto",
        reference_class: str | None = None,
        groups: ArrayLike | None = None,
        batch: ArrayLike | None = None,
        rng: int | np.random.Generator = 0,
        n_jobs: int | None = None,
        progress: bool = False,
    ) -> Metric:
        """Learn a metric from plain arrays, with the numbers that `tl.ggml` finds for the same cells.

        Parameters
        ----------
        clouds
            List of (n_cells, d) arrays, one for each sample. Tables have the same columns in any order: features are
            matched by name, also in what the metric takes later.
        labels
            (P,) label of each sample.
        label_kind, reference_class
            As in `tl.ggml`; a list of levels from low to high, or an ordered categorical, makes labels ordered.
        groups, batch
            (P,) donor and technical batch of each sample.
        rng
            Seed or generator.
        n_jobs
            %(n_jobs_threads)s
        progress
            %(progress)s

        Returns
        -------
        The metric, with `components` (k, d), `transform`, `distance` and `distances`.

        Raises
        ------
        ValueError
            Clouds or labels of the wrong shape, values that are not finite, tables with other columns, missing labels,
            donors or batches, one class only, a class with one sample, `n_comps` above the rank of the cells.

        Examples
        --------
        >>> import numpy as np
        >>> import scggml as sg
        >>> rng = np.random.default_rng(0)
        >>> clouds = [rng.normal(size=(20, 3)) + [i, 0, 0] for i in range(8)]
        >>> metric = sg.tl.Learner(n_comps=1).fit(clouds, range(8), label_kind="numbers")
        >>> int(metric.importance.argmax())
        0
        """
        features = features_of(clouds)
        cohort = from_clouds(checked_clouds(clouds, features, FIRST))
        P = cohort.n_samples
        target = array_target(labels, label_kind, reference_class)
        if len(target.values) != P:
            raise ValueError(f"labels has {len(target.values)} entries for {P} clouds.")
        check_rank(self.n_comps, getattr(self.recipe, "init", None), cohort, "clouds")
        check_design(target, cohort.names, "labels")
        samples = Samples(
            blind(cohort),
            np.arange(P) if groups is None else as_codes("groups", groups, "a donor", P),
            batch=None if batch is None else as_codes("batch", batch, "a batch", P),
        )
        found = self.learn(
            samples, target, rng=np.random.default_rng([as_seed(rng), 2]), n_jobs=n_jobs, progress=progress
        )
        return Metric(
            components=found.components,
            singular_values=found.singular_values,
            squared=self.squared,
            features=None if features is None else np.array(features, dtype=str),
        )

    def learn(
        self,
        samples: Samples,
        target: Target,
        *,
        rng: np.random.Generator,
        n_jobs: int | None = 1,
        progress: bool = False,
    ) -> Fit:
        """Learn from training samples and what is known of them; see `with_work` for refits of the same cells."""
        self.check(target)
        adjustment = None
        if samples.covariates is not None:
            adjustment = estimate(samples, target)
            samples = self._adjusted(samples, adjustment)
        cohort = labelled(samples.cohort, target)
        k = self.rank(cohort)
        work = self._work(samples)
        choice = self._choose(samples, target, k, work, rng=rng, n_jobs=n_jobs)
        how: dict[str, Any] = {"n_jobs": n_jobs, "progress": progress}
        bags = None
        if self.bags is None:
            W, record = self._find(samples, target, k, choice, work, rng=rng, **how)
        else:
            positions = draw_bags(target, samples.groups, self.bags, rng)
            if samples.batch is not None:
                # a bag whose batches have one label each says nothing; if all are such, the first says so
                batch = samples.batch
                positions = [own for own in positions if mixed_batches(target.take(own), batch[own])] or positions[:1]
            parts = [samples.take(own) for own in positions]
            fits = [
                self._find(part, target.take(own), k, choice, self._work(part), rng=rng, n_jobs=n_jobs, progress=False)
                for part, own in zip(parts, positions, strict=True)
            ]
            bags = Bags.of([found for found, _ in fits], positions, k, samples.n_samples)
            W, record = mean_metric(list(bags.metrics), k, cohort), fits[0][1]
        share = self._share(choice)
        mixed, coefficients = shrunk(W, share, samples, target)
        components, singular_values, class_means, names = oriented(mixed, cohort, target)
        return Fit(
            components=components,
            singular_values=singular_values,
            class_means=class_means,
            oriented_to=names,
            shrinkage=share,
            learned_share=learned_share(components, mixed, coefficients),
            choice=choice,
            adjustment=adjustment,
            bags=bags,
            **record,
        )

    def _find(
        self,
        samples: Samples,
        target: Target,
        k: int,
        choice: Choice | None,
        work: Work | None,
        *,
        rng: np.random.Generator,
        n_jobs: int | None,
        progress: bool,
    ) -> tuple[Floats, dict[str, Any]]:
        """Return W before shrinkage, and the record of how it was found."""
        how: dict[str, Any] = {"rng": rng, "n_jobs": n_jobs, "progress": progress}
        if isinstance(self.recipe, Canonical):
            found = self._variates(decided(self.recipe, choice), samples, target, k, work, **how)
            return found.components, {"stop": "closed form", "history": {"eigenvalues": found.eigenvalues}}
        return self._descend(labelled(samples.cohort, target), samples, target, k, choice, **how)

    def check(self, target: Target) -> None:
        """Raise if the method cannot learn from labels of this kind."""
        recipe = self.recipe
        if isinstance(recipe, Triplets) and recipe.n_triplets is not None and target.kind != "classes":
            raise ValueError(
                f"n_triplets={recipe.n_triplets} draws triplets of classes (as the paper does), but labels are "
                f'{target.kind}. Pass method="triplets", which weighs all triplets by their labels, or '
                'label_kind="classes".'
            )

    def with_work(
        self, samples: Samples, *, rng: np.random.Generator, n_jobs: int | None = None, draw: bool = False
    ) -> Samples:
        """Return the samples with the work that their refits share."""
        return with_work(samples, self.canonical, solver=self.engine, rng=rng, n_jobs=n_jobs, draw=draw)

    def _adjusted(self, samples: Samples, adjustment: Adjustment) -> Samples:
        """Return samples without the effects of their covariates, and the work that was done for them moved alike."""
        work, at, found = self._work(samples), samples.positions, adjust(samples, adjustment)
        if work is None or at is None or samples.covariates is None:
            return found
        return replace(found, work=work.move(at, -adjustment.shifts(samples.covariates)), positions=at)

    def _work(self, samples: Samples) -> Work | None:
        """Return the work that was done for these samples, if this learner can use it."""
        work, canonical = samples.work, self.canonical
        if not isinstance(work, Work) or samples.positions is None or canonical is None:
            return None
        if not work.start.exact and len(np.unique(samples.positions)) < work.cohort.n_samples:
            return None  # principal axes have seen the cells of all samples, also of those that are held out here
        same = work.solver == self.engine and work.max_features == canonical.max_features
        return work if same and len(work.start.plans.pairs) <= canonical.max_pairs else None

    def _variates(
        self,
        options: Canonical,
        samples: Samples,
        target: Target,
        k: int,
        work: Work | None,
        *,
        rng: np.random.Generator,
        n_jobs: int | None,
        progress: bool,
    ) -> Variates:
        """Compute canonical variates, from plans that are there already if `work` has them."""
        cohort, weights, start = self._weighed(options, samples, target, work, rng)
        how: dict[str, Any] = {"solver": self.engine, "n_jobs": n_jobs, "start": start, "progress": progress}
        return canonical_metric(options, cohort, weights, k, **how)

    def _weighed(
        self, options: Canonical, samples: Samples, target: Target, work: Work | None, rng: np.random.Generator
    ) -> tuple[Cohort, PairWeights, Start | None]:
        """Return the cohort whose pairs are weighed, their weights, and the plans that are there already."""
        if work is None or samples.positions is None:
            pairs = some_pairs(strata_of(target), options.max_pairs, rng)
            return samples.cohort, weigh_pairs(target, batch=samples.batch, pairs=pairs), None
        return work.cohort, work.weigh(samples, target), work.start

    def euclidean_scatters(
        self, samples: Samples, target: Target, *, rng: np.random.Generator, n_jobs: int | None = 1
    ) -> tuple[Floats | Scatter, Floats | Scatter, Floats | None]:
        """Return the scatters between and within labels that canonical variates begin with, and the axes of both."""
        if samples.covariates is not None:
            samples = self._adjusted(samples, estimate(samples, target))
        options = self.canonical
        if options is None:
            raise TypeError(f"{type(self.recipe).__name__} does not begin with canonical variates.")
        cohort, weights, start = self._weighed(options, samples, target, self._work(samples), rng)
        if start is None:
            how: dict[str, Any] = {"solver": self.engine, "n_jobs": n_jobs, "max_features": options.max_features}
            start = euclidean_start(cohort, weights.pairs, **how)
        between, within = start.scatters(weights.pairs, (weights.between, weights.within), n_jobs)
        return between, within, start.axes

    @property
    def canonical(self) -> Canonical | None:
        """The canonical variates that the method is or starts from."""
        recipe = self.recipe
        return recipe if isinstance(recipe, Canonical) else recipe.canonical

    @property
    def recipe(self) -> Method:
        """The method as an object."""
        return as_method(self.method)

    @property
    def engine(self) -> Solver:
        """The solver as an object."""
        return as_solver(self.solver)

    @property
    def _triplets(self) -> Triplets:
        recipe = self.recipe
        if not isinstance(recipe, Triplets):
            raise TypeError(f"method is a {type(recipe).__name__}, not a Triplets.")
        return recipe

    @property
    def _may_shrink(self) -> bool:
        """Return whether `shrinkage="auto"` shrinks: it would fill the zeros of a penalty and blur given units."""
        recipe = self.recipe
        return not isinstance(recipe, Triplets) or (recipe.scale_free and recipe.penalty == "fro")

    def rank(self, cohort: Cohort) -> int:
        """Return the number of components, by default up to 5."""
        return usable_rank(cohort, N_COMPS) if self.n_comps is None else self.n_comps

    def settled(self, found: Fit) -> "Learner":
        """Return the learner with what `found` decided, for refits that assess how stable that metric is."""
        method = self.recipe
        if isinstance(method, Canonical):
            method = decided(method, found.choice)
        else:
            init = method.init if method.canonical is None else decided(method.canonical, found.choice)
            method = replace(method, init=init, keep_history=False)
        return replace(self, method=method, shrinkage=found.shrinkage)

    def _choose(
        self,
        samples: Samples,
        target: Target,
        k: int,
        work: Work | None,
        *,
        rng: np.random.Generator,
        n_jobs: int | None,
    ) -> Choice | None:
        """Decide what is open of ridge and shrinkage; None for a method without canonical variates."""
        canonical = self.canonical
        if canonical is None:
            return None
        shrinkage = 0.0 if self.shrinkage == "auto" and not self._may_shrink else self.shrinkage
        given: dict[str, Any] = {"cost": self.cost, "solver": self.engine, "n_jobs": n_jobs}
        # a generator of its own: what is drawn here must not move what is drawn later
        own = np.random.default_rng(rng.integers(2**63))
        if work is not None and samples.positions is not None:
            # A sample that a bootstrap drew twice decides once: its copy would be its nearest neighbor, at distance 0.
            members, first = np.unique(samples.positions, return_index=True)
            some = drawn(target.take(first), own)
            members, target = members[some], target.take(first[some])
            if work.small_start is not None:
                given |= {"start": work.small_start, "members": members}
                return choose(canonical, shrinkage, work.small, target, k, rng=own, **given)
            return choose(canonical, shrinkage, work.small.take(members), target, k, rng=own, **given)
        if len(settings_for(canonical, shrinkage)) > 1:
            kept = drawn(target, own)
            samples, target = smaller(samples.take(kept), own, n_jobs=n_jobs), target.take(kept)
        return choose(canonical, shrinkage, samples, target, k, rng=own, **given)

    def _share(self, choice: Choice | None) -> float:
        if self.shrinkage != "auto":
            return float(self.shrinkage)
        if choice is not None:
            return choice.setting.shrinkage
        return USUAL if self._may_shrink else 0.0

    def _descend(
        self,
        cohort: Cohort,
        samples: Samples,
        target: Target,
        k: int,
        choice: Choice | None,
        *,
        rng: np.random.Generator,
        n_jobs: int | None,
        progress: bool,
    ) -> tuple[Floats, dict[str, Any]]:
        """Take gradient steps; return W before shrinkage and the record of how it went."""
        method = self._triplets
        init = method.init if method.canonical is None else decided(method.canonical, choice)
        objective = method.objective(squared=self.squared, solver=self.engine, n_jobs=n_jobs)
        design: dict[str, Any] = {
            "target": target, "batch": samples.batch, "rng": rng, "scale_free": method.scale_free, "progress": progress,
        }  # fmt: skip
        found = fit(cohort, init, objective, method.schedule(), n_comps=k, n_triplets=method.n_triplets, **design)
        if method.refine > 0 and samples.everything is not None:
            everything = labelled(samples.everything, target)
            found = refine(found, everything, objective, method.schedule(), passes=method.refine, **design)
        history = {"loss": found.loss, "gradient_norm": found.gradient_norm, "active": found.active}
        if found.path is not None:
            history["components"] = found.path
        record = {"stop": found.stop, "history": history, "margin": found.margin, "reg": found.reg}
        return found.components, record | {"refined": found.refined}


def shrunk(W: Floats, share: float, samples: Samples, target: Target) -> tuple[Floats, Floats]:
    """Return (k, d) between W and the Euclidean metric, blind to batches, and coefficients; see `mixture`."""
    cohort = labelled(samples.cohort, target)
    kept_out = None if samples.batch is None else batch_directions(cohort, target, samples.batch)
    return mixture(W, share, cohort, kept_out=kept_out)


def decided(canonical: Canonical, choice: Choice | None) -> Canonical:
    """Return canonical variates with the ridge that was chosen."""
    if choice is None:
        return canonical
    return replace(canonical, ridge=choice.setting.ridge, ridge_scale=choice.setting.ridge_scale)


def _same(one: Any, other: Any) -> bool:
    """Return whether nested options are equal, arrays entry by entry."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(np.array_equal(one, other))
