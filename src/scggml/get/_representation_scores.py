"""Scores of distances between samples, by the benchmark of the field."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.drawn import obs_column
from scggml._anndata.messages import check_adata
from scggml._anndata.representation import keys_of, tasks_of, trajectory_of, values_of
from scggml._anndata.samples import read_distances
from scggml._arguments import shown
from scggml._core.checks import check_whole
from scggml._core.evaluate.representation import Task, replicate_robustness, retention
from scggml._core.seeds import as_seed
from scggml._docs import documented

Columns = str | Sequence[str] | Mapping[str, Task]


@documented
def representation_scores(
    samples: AnnData,
    relevant: Columns = (),
    *,
    technical: Columns = (),
    trajectory_key: str | None = None,
    root: str | None = None,
    replicate_key: str | None = None,
    keys: Sequence[str] | None = None,
    n_neighbors: int = 3,
    rng: int | np.random.Generator = 0,
) -> pd.DataFrame:
    r"""Return how much distances know of what is relevant, of batches, of an order, and of replicates.

    **On the samples that a metric was learned on, scores of its label are high whatever the label is**, even a random
    one. Only held-out distances (`tl.cross_fit`, then `tl.distances` with `held_out=True`) are of new donors. With both
    in one AnnData they stand side by side, and their difference is the leak.

    Parameters
    ----------
    samples
        %(samples)s
    relevant
        Columns of `.obs` that distances should know: names, or a dict from names to tasks. `"classification"`,
        `"regression"` and `"ranking"` are read from the type of a column by default.
    technical
        Columns that they should not know, such as site and batch.
    trajectory_key
        Column with numbers or ordered categories that grow along a trajectory.
    root
        Sample at its start; by default the middle one of those with the lowest value.
    replicate_key
        Column with one value for all replicates of a sample, such as its donor.
    keys
        Distances in `.obsp` to score; by default all that are stored.
    n_neighbors
        Neighbors that predict a value of a sample.
    rng
        %(rng)s

    Returns
    -------
    A table with a column for each of the distances and a row for each score and column of `.obs`:

    `information_retention`
        How well the nearest other samples, weighted by one over their distance, tell the value: macro F1 corrected for
        chance :math:`\frac{C}{C - 1} (F_1 - \frac{1}{C})`, or rank correlation, from 0 to 1.
    `batch_removal`
        1 - the same for technical columns: 1 if distances know nothing of them.
    `trajectory`
        Rank correlation of the value with diffusion pseudotime from the root, from -1 to 1.
    `replicate_robustness`
        1 - the mean number of samples that are nearer to a sample than its nearest replicate, at most 1.

    Samples without a value are left out of its scores.

    Raises
    ------
    KeyError
        No such distances, column or sample.
    ValueError
        A column with one value, or without an order where one is needed; nothing is asked for.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> sg.tl.cross_fit(adata, n_splits=3, n_jobs=1, progress=False)
    >>> samples = sg.tl.distances(adata, held_out=True, progress=False)
    >>> samples.obsp["ggml_distances"] = sg.tl.distances(adata, progress=False).obsp["ggml_distances"]
    >>> sg.get.representation_scores(samples, "label").columns.tolist()
    ['ggml_held_out', 'ggml']

    References
    ----------
    Shitov et al., the benchmark SPARE and its package patpy (https://github.com/lueckenlab/patpy), of which these are
    the scores, except that a sample never counts among its own neighbors.
    """
    check_adata(samples, "samples")
    check_whole("n_neighbors", n_neighbors, 1)
    seed, there = as_seed(rng), keys_of(samples, keys)
    distances = {key: read_distances(samples, key) for key in there}
    rows: dict[tuple[str, str], list[float]] = {}
    for score, asked, argument in (
        ("information_retention", relevant, "relevant"),
        ("batch_removal", technical, "technical"),
    ):
        for name, task in tasks_of(samples, asked, argument).items():
            values, known = values_of(samples, name, task, argument)
            found = [retention(D[np.ix_(known, known)], values, task, n_neighbors) for D in distances.values()]
            rows[score, name] = found if score == "information_retention" else [1 - value for value in found]
    if trajectory_key is not None:
        values, known = values_of(samples, trajectory_key, "ranking", "trajectory_key")
        rows["trajectory", trajectory_key] = [
            trajectory_of(samples, key, values, known, root=root, seed=seed) for key in there
        ]
    if replicate_key is not None:
        column = obs_column(samples, replicate_key, "replicate_key")
        codes = pd.factorize(column)[0]
        known = np.flatnonzero(codes >= 0)
        if np.bincount(codes[known], minlength=1).max() < 2:
            raise ValueError(f"replicate_key={replicate_key!r}: no two samples have the same value.")
        rows["replicate_robustness", replicate_key] = [
            replicate_robustness(D[np.ix_(known, known)], codes[known]) for D in distances.values()
        ]
    if not rows:
        raise ValueError(
            f"relevant={shown(relevant)} and technical={shown(technical)}: nothing is asked for; pass columns as "
            "relevant, technical, trajectory_key or replicate_key."
        )
    index = pd.MultiIndex.from_tuples(list(rows), names=["score", "column"])
    return pd.DataFrame(list(rows.values()), index=index, columns=pd.Index(there, name="distances"))
