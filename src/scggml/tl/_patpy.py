"""The metric behind the interface by which patpy compares methods."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import pandas as pd
from anndata import AnnData

from scggml._anndata.as_patpy import (
    importance_of,
    is_ordered,
    labels_of,
    place_of,
    predictions_of,
    samples_of,
    write_importance,
)
from scggml._anndata.messages import choices, warn
from scggml._anndata.samples import read_distances
from scggml._arguments import shown
from scggml._core.cohort import Floats, Names
from scggml._core.learn.learner import Method, MethodName
from scggml._core.mds import classical_mds
from scggml._docs import documented
from scggml.tl._attribute import attribute
from scggml.tl._cross_fit import cross_fit
from scggml.tl._cross_validate import cross_validate
from scggml.tl._distances import distances
from scggml.tl._ggml import ggml

Task = Literal["classification", "regression", "ranking"]
TASKS: tuple[Task, ...] = get_args(Task)

DIMENSIONS = 10
"""Coordinates of the representation of a sample at most."""


@documented
class PatpyMethod:
    r"""Offer the learned metric to `patpy` as one of its supervised methods.

    Methods, arguments and results are those of `SupervisedSampleMethod` of patpy 0.15, and each is a call of a function
    here. Nothing of patpy is imported, so that the class works without it; `PatpyMethod.subclass()` is a subclass of
    patpy's own as well, for its embeddings and figures.

    A metric separates the samples that it was learned on whether or not labels mean anything, and a benchmark on these
    would reward that. So distances, predictions and importances are **held out**: of each donor under metrics that have
    not seen it.

    Parameters
    ----------
    sample_key
        Column of `.obs` with the sample of each cell.
    label_keys, tasks
        Column with the label, or a list with it, and `"classification"`, `"regression"` or `"ranking"` (ordered
        categories; numbers are ranked as numbers). Of several the first is learned, with a warning.
    cell_group_key
        Column with the type of each cell.
    layer
        Features: a slot of `.obsm` or `.layers`, or `"X"`.
    seed
        Seed of all that is drawn.
    groups_key
        Column with the donor of each sample, which folds keep together.
    method
        As in `ggml`.
    n_splits
        Folds of donors.
    held_out
        Show samples under metrics that have not seen their donors. False shows how much the others leak.
    key
        %(key_metric)s

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> model = sg.tl.PatpyMethod("sample_id", "label", "classification", layer="X", n_splits=3)
    >>> model.prepare_anndata(adata)
    >>> model.calculate_distance_matrix().shape
    (18, 18)

    References
    ----------
    Shitov et al., patpy (https://github.com/lueckenlab/patpy).
    """

    DISTANCES_UNS_KEY = "X_ggml_distances"

    def __init__(
        self,
        sample_key: str,
        label_keys: list[str] | str,
        tasks: list[Task] | Task,
        *,
        cell_group_key: str | None = None,
        layer: str | None = "X_pca",
        seed: int = 42,
        groups_key: str | None = None,
        method: MethodName | Method = "canonical",
        n_splits: int = 5,
        held_out: bool = True,
        key: str = "ggml",
    ) -> None:
        self.sample_key, self.cell_group_key, self.layer, self.seed = sample_key, cell_group_key, layer, seed
        self.label_keys, self.tasks = _listed("label_keys", label_keys), _listed("tasks", tasks)
        if not self.label_keys or len(self.label_keys) != len(self.tasks):
            raise ValueError(
                f"label_keys={shown(label_keys)} and tasks={shown(tasks)}: pass a label and, for each, a task of "
                f"{choices(TASKS)}."
            )
        for task in self.tasks:
            if task not in TASKS:
                raise ValueError(f"tasks={shown(tasks)}: {task!r} is not known; choose from {choices(TASKS)}.")
        if len(self.label_keys) > 1:
            warn(f"label_keys has {len(self.label_keys)} labels; the metric is learned from {self.label_keys[0]!r}.")
        self.groups_key, self.method, self.n_splits, self.held_out = groups_key, method, n_splits, held_out
        self.key = key
        self.adata: AnnData | None = None
        self.samples: Names | None = None
        self.labels: pd.DataFrame | None = None
        self.sample_representation: pd.DataFrame | None = None
        self._fitted = False

    @classmethod
    def subclass(cls) -> type:
        """Return a class that is this one and patpy's `SupervisedSampleMethod`, whose figures it has."""
        try:
            from patpy.tl.supervised import SupervisedSampleMethod  # noqa: PLC0415 - optional and slow to load
        except ImportError as error:
            raise ImportError(
                "PatpyMethod.subclass() needs the package patpy: pip install patpy. PatpyMethod works without."
            ) from error

        def start(self: Any, *args: Any, **options: Any) -> None:
            own = cls(*args, **options)
            SupervisedSampleMethod.__init__(
                self, own.sample_key, own.label_keys, own.tasks, own.cell_group_key, own.layer, own.seed
            )
            for name, value in vars(own).items():
                setattr(self, name, value)

        return type("PatpyGGML", (cls, SupervisedSampleMethod), {"__init__": start, "__doc__": cls.__doc__})

    def prepare_anndata(self, adata: AnnData) -> None:
        """Learn the metric, and metrics without some donors, and store them in `adata`; see `ggml`, `cross_fit`."""
        self.samples = samples_of(adata, self.sample_key)
        self.labels = labels_of(adata, self.sample_key, self.label_keys)
        label, task = self.label_keys[0], self.tasks[0]
        ranked = "ordered" if is_ordered(self.labels[label]) else "numbers"
        kinds: dict[str, Any] = {"classification": "classes", "regression": "numbers", "ranking": ranked}
        ggml(
            adata,
            self.sample_key,
            label,
            **place_of(adata, self.layer),
            method=self.method,
            label_kind=kinds[task],
            groups_key=self.groups_key,
            key_added=self.key,
            rng=self.seed,
            progress=False,
        )
        if self.held_out:
            cross_fit(adata, key=self.key, n_splits=self.n_splits, rng=self.seed, n_jobs=1, progress=False)
        self.adata, self._fitted, self.sample_representation = adata, True, None

    def calculate_distance_matrix(self, dist: str = "euclidean") -> Floats:
        """Return (P, P) distances between samples in the order of `samples`; see `distances`.

        `dist` is the ground cost between cells in the learned space, which is Euclidean.
        """
        if dist != "euclidean":
            raise ValueError(
                f"dist={dist!r}: cells lie in a space that was learned for the distance 'euclidean'; pass that, or "
                f"call sg.tl.distances(adata, metric={dist!r}) for a fixed one."
            )
        samples = distances(self._adata(), key=self.key, held_out=self.held_out, genes=False, progress=False)
        return read_distances(samples, f"{self.key}_held_out" if self.held_out else self.key).copy()

    def get_sample_representations(self) -> pd.DataFrame:
        """Return (P, n) coordinates whose Euclidean distances are near those between samples; see `mds`."""
        D = self.calculate_distance_matrix()
        coordinates, values = classical_mds(D, min(DIMENSIONS, len(D) - 1))
        kept = coordinates[:, : max(1, int((values[: coordinates.shape[1]] > 0).sum()))]
        names = [f"dim_{i}" for i in range(kept.shape[1])]
        self.sample_representation = pd.DataFrame(
            kept, index=pd.Index([] if self.samples is None else self.samples), columns=names
        )
        return self.sample_representation

    def predict(self, label: str) -> pd.DataFrame | pd.Series:
        """Return what is predicted of each sample when its donor is held out; see `cross_validate`.

        For classes a table with columns `prob_<class>` and `<label>_pred`, for numbers a series.
        """
        adata, samples = self._adata(), self.samples
        if label != self.label_keys[0] or samples is None:
            raise ValueError(f"label={label!r} was not learned, but {self.label_keys[0]!r} was; pass that.")
        result = f"{self.key}_predictions"
        options: dict[str, Any] = {"n_splits": self.n_splits, "n_repeats": 1, "n_jobs": 1}
        cross_validate(
            adata, key=self.key, methods=[self.key], key_added=result, rng=self.seed, progress=False, **options
        )
        return predictions_of(adata, result, label, samples)

    def get_cell_importance(self, force: bool = False) -> pd.DataFrame:
        """Return how much farther each cell is from other classes than from its own, as `<label>_importance`.

        See `attribute`. The column is kept in `.obs`; `force` computes it again.
        """
        adata, column = self._adata(), f"{self.label_keys[0]}_importance"
        known = importance_of(adata, column)
        if known is not None and not force:
            return known
        attribute(adata, key=self.key, held_out=self.held_out, n_perm=0, progress=False)
        return write_importance(adata, self.key, column)

    def _adata(self) -> AnnData:
        if self.adata is None:
            raise RuntimeError("PatpyMethod is not fitted; call prepare_anndata(adata) first.")
        return self.adata


def _listed(name: str, value: Any) -> list[Any]:
    """Return one or several names as a list."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
        raise TypeError(f"{name}={shown(value)} is a {type(value).__name__}; pass a name, or a list of names.")
    return list(value)
