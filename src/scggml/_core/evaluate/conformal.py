"""Sets of classes that hold the true one with a chance that is known, whatever the cells look like."""

from dataclasses import dataclass, replace

import numpy as np

from scggml._core.cohort import Cohort, Floats, Integers
from scggml._core.evaluate.calibrated import with_shared_work
from scggml._core.evaluate.ensemble import Ensemble
from scggml._core.runner import run_tasks
from scggml._core.samples import Samples, Target, join, mean_profiles


def smallest_alpha(target: Target, groups: Integers) -> float:
    """Return 1 / (n + 1), n the donors of the smallest class: below it no class of that size can be left out."""
    n = min(len(np.unique(groups[target.codes == c])) for c in range(target.n_classes))
    return 1 / (n + 1)


def conformal_p_values(
    ensemble: Ensemble,
    known: Samples,
    target: Target,
    new: Samples,
    *,
    seed: int,
    n_jobs: int | None = None,
    progress: str | None = None,
) -> Floats:
    r"""Return (n, C) p-values of "this sample is of class c", by full conformal prediction within each class.

    .. math:: p_c = \frac{1 + \sum_{g \in c} \#\{i \in g : a_i \ge a_{\mathrm{new}}\} / n_g}{1 + n_c}

    For each class c the new sample joins the known ones with that label. Then everything is done anew with it, and
    :math:`a` is one minus the probability of c that a sample of class c has when its donor is left out. If the
    :math:`n_c` donors g of class c are exchangeable, the new one among them, :math:`p_c \le \alpha` has a chance of at
    most :math:`\alpha`. That needs a procedure that does not know which of the samples is new: they are brought in an
    order that follows from their cells alone, before anything is drawn. The :math:`n_g` samples of one donor and class
    count as one together, each for its part: their mean would be less extreme than the one sample of the new donor.

    Parameters
    ----------
    ensemble
        What predicts.
    known, target
        P samples with labels that are classes.
    new
        n samples; what is found of one does not depend on the others.
    seed
        Of all that is drawn.

    References
    ----------
    Vovk, Gammerman and Shafer, *Algorithmic learning in a random world*, 2005; Vovk, *Conditional validity of inductive
    conformal predictors*, 2013; Lee, Barber and Willett, *Distribution-free inference with hierarchical data*, 2023,
    for several samples of a donor.
    """
    # Plans between cells see no label, so all of what follows shares them.
    everyone = with_shared_work(ensemble, together(known, new), np.random.default_rng([seed, 0]), n_jobs=n_jobs)
    trial = _Trial(ensemble, everyone, target, seed)
    tasks = [(i, c) for i in range(new.n_samples) for c in range(target.n_classes)]
    found = run_tasks(trial.p_value, tasks, n_jobs=n_jobs, progress=progress, unit="label")
    return np.array(found).reshape(new.n_samples, target.n_classes)


def together(known: Samples, new: Samples) -> Samples:
    """Return the samples of both, new ones as donors and batches of their own."""
    own = np.arange(new.n_samples)

    def both(first: Floats | None, second: Floats | None) -> Floats | None:
        return None if first is None or second is None else np.concatenate([first, second])

    everything: Cohort | None = None
    if known.everything is not None or new.everything is not None:
        everything = join(known.as_cells.cohort, new.as_cells.cohort)
    return Samples(
        join(known.cohort, new.cohort),
        np.concatenate([known.groups, known.groups.max() + 1 + own]),
        composition=both(known.composition, new.composition),
        batch=None if known.batch is None else np.concatenate([known.batch, known.batch.max() + 1 + own]),
        covariates=both(known.covariates, new.covariates),
        everything=everything,
    )


@dataclass(frozen=True, eq=False)
class _Trial:
    """All samples, known ones first, and what is to be asked of them."""

    ensemble: Ensemble
    samples: Samples
    target: Target
    seed: int

    def p_value(self, new: int, c: int) -> float:
        """Return the p-value of one label of one new sample."""
        P = len(self.target.values)
        members = np.append(np.arange(P), P + new)
        values = np.append(self.target.values, float(c))
        # Ordered by content: nothing below can tell which sample is new.
        order = np.lexsort(mean_profiles(self.samples.cohort.take(members)).T)
        samples, target = self.samples.take(members[order]), replace(self.target, values=values[order])
        held_out = self.ensemble.leave_out(samples, target, rng=np.random.default_rng([self.seed, 1]))
        if held_out is None:
            return 1.0  # too few donors to leave one out: every class is possible
        strange = 1.0 - held_out.mean(axis=0)[:, c]
        mine = strange[members[order] == P + new][0]
        own = target.codes == c
        _, place = np.unique(samples.groups[own], return_inverse=True)
        # equal up to rounding counts as equal
        reached = strange[own] >= mine - 1e-12
        return float((np.bincount(place, reached) / np.bincount(place)).mean())
