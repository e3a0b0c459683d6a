"""Write and read which components of a stored metric are real, and say it in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from anndata import AnnData

from scggml._anndata.forms import OPTIONS, Entry
from scggml._anndata.keys import Keys
from scggml._anndata.messages import warn
from scggml._anndata.metric import StoredMetric, belongs
from scggml._anndata.results import find_result, params, write_result
from scggml._core.evaluate.component_test import ComponentTest, component_test

N_PERM, LEVEL = 199, 0.05
"""Permutations of labels by which real components are found if nothing is said, and their largest p-value."""

FORM = {
    "real": Entry("flags", ("components",)),
    "p_values": Entry("numbers", ("components",), missing=True),
    "eigenvalues": Entry("numbers", ("components",), missing=True),
    "p_any": Entry("numbers"),
    "smallest_p": Entry("numbers"),
    "verdict": Entry("text"),
    "params": OPTIONS,
}

STREAM = 5
"""The random numbers of the test among those of a seed."""


def run_component_test(
    adata: AnnData,
    stored: StoredMetric,
    *,
    n_perm: int = N_PERM,
    level: float = LEVEL,
    seed: int,
    n_jobs: int | None,
    progress: bool,
) -> ComponentTest:
    """Test the components of a stored metric on the samples that it was learned on."""
    selection, target = stored.select(adata)
    samples = stored.samples(selection, n_jobs=n_jobs, progress=progress)
    return component_test(
        stored.learner,
        samples,
        target,
        stored.components,
        stored.learned_share,
        n_perm=n_perm,
        level=level,
        rng=np.random.default_rng([seed, STREAM]),
        n_jobs=n_jobs,
        progress=progress,
    )


def verdict(found: ComponentTest, key: str) -> str:
    """Return what the test says, in words."""
    n, k = found.n_real, len(found.order)
    names = [f"{key}{found.order[i] + 1}" for i in range(len(found.p_values))]
    shown = ", ".join(f"{name} p = {p:.3g}" for name, p in zip(names, found.p_values, strict=True))
    few = f" No p-value below {found.smallest:.3g} is possible with these donors and permutations."
    if len(names) > n > 0 and found.p_values[-1] <= found.level:
        few = f" What is left of the cells differs further, but {names[-1]} does not show it.{few}"
    if n == 0 and found.p_values[0] <= found.level:
        return (
            f"The cells differ between the labels ({shown}), but no component shows it: {names[0]} was not learned, or "
            f"samples of different labels are no farther apart along it. Nothing that this metric shows is a finding."
            f"{few}"
        )
    if n == 0:
        return (
            f"No component tells the labels apart more than those of permuted labels do ({shown}): nothing that this "
            f"metric shows is a finding.{few}"
        )
    others = "other one is" if k - n == 1 else f"other {k - n} are"
    rest = f" The {others} not: what shrinkage filled in, or noise." if n < k else ""
    return f"{n} of {k} components {'is' if n == 1 else 'are'} real ({shown}).{rest}{few}"


def write_component_test(
    adata: AnnData, stored: StoredMetric, found: ComponentTest, *, n_perm: int = N_PERM, seed: int
) -> None:
    """Write the test into `.uns`."""
    k = len(found.order)
    p_values, eigenvalues = np.full(k, np.nan), np.full(k, np.nan)
    tested = found.order[: len(found.p_values)]
    p_values[tested], eigenvalues[tested] = found.p_values, found.eigenvalues
    entry = {
        "real": np.isin(np.arange(k), found.order[: found.n_real]),
        "p_values": p_values,
        "eigenvalues": eigenvalues,
        "p_any": found.p_any,
        "smallest_p": found.smallest,
        "verdict": verdict(found, stored.key),
        "params": params(n_perm=n_perm, level=found.level, seed=seed),
        "fingerprint": stored.fingerprint,
    }
    write_result(adata, Keys(stored.key).components, entry)


def real_components(adata: AnnData, stored: StoredMetric) -> np.ndarray | None:
    """Return (k,) which components are real; None if they were not tested since the metric was learned."""
    entry = _entry(adata, stored)
    return None if entry is None else np.asarray(entry["real"], dtype=bool)


@dataclass(frozen=True)
class Gate:
    """The p-value of a metric showing anything at all, below which no rate of its genes and cell types can be.

    Genes and types are parts of what the components show: they are of interest only if these are real, and testing them
    after the components keeps one error rate for all of them.

    Parameters
    ----------
    stored, seed
        The metric, and the seed of the test.
    p, smallest
        The p-value, and the smallest one that is possible.
    found
        The test, None if it need not be written.
    """

    stored: StoredMetric
    seed: int
    p: float
    smallest: float
    found: ComponentTest | None

    @classmethod
    def of(
        cls, adata: AnnData, stored: StoredMetric, *, seed: int, own: bool, n_jobs: int | None, progress: bool
    ) -> "Gate":
        """Return what `tl.component_test` has found, or run it if it has not, or with too few permutations to tell.

        `own` says that donors are those of the metric; a test of others is neither read nor written.
        """
        there = adata.uns.get(Keys(stored.key).components)
        older = isinstance(there, Mapping) and "p_any" not in there
        entry = _entry(adata, stored) if own and not older else None
        if entry is not None:
            smallest = float(entry["smallest_p"])
            if smallest <= LEVEL or int(entry["params"]["n_perm"]) >= N_PERM:
                return cls(stored, seed, float(entry["p_any"]), smallest, None)
        found = run_component_test(adata, stored, seed=seed, n_jobs=n_jobs, progress=progress)
        return cls(stored, seed, found.p_any, found.smallest, found if own else None)

    def write(self, adata: AnnData, of: str) -> None:
        """Write the test if it is to be, and warn if it found nothing although it could have."""
        if self.found is not None:
            write_component_test(adata, self.stored, self.found, seed=self.seed)
        if self.p > LEVEL >= self.smallest:
            warn(
                f"No component of the metric {self.stored.key!r} shows more than those of permuted labels do (p = "
                f"{self.p:.2g}), so no false discovery rate of a {of} is below that. See the verdict of "
                f"sg.tl.component_test(adata, key={self.stored.key!r})."
            )


def _entry(adata: AnnData, stored: StoredMetric) -> Mapping[str, Any] | None:
    """Return the test that was written for the metric as it is now."""
    call = f"sg.tl.component_test(adata, key={stored.key!r})"
    k, slot = len(stored.components), Keys(stored.key).components
    entry = find_result(adata, slot, call, FORM, of=stored.fingerprint, components=k)
    return entry if entry is not None and belongs(entry, stored) else None
