"""A small cohort of cells, and its samples as a selection and as a cohort."""

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scggml._anndata.features import read_features
from scggml._anndata.selection import Selection, select
from scggml._core.cohort import Cohort
from scggml._core.samples import labelled
from scggml._core.transport.coreset import as_summary

SIZES = {"p2": 4, "p0": 7, "p3": 3, "p1": 6}
LABELS = {"p2": "well", "p0": "ill", "p3": "ill", "p1": "well"}
GENES = ["g0", "g1", "g2"]


def make_adata(dtype: type = np.float64) -> AnnData:
    """20 cells of 4 samples, in turn, so that no sample is in one piece; half of the values are 0."""
    turn = np.concatenate([np.arange(size) * 10 + place for place, size in enumerate(SIZES.values())])
    samples = np.repeat(list(SIZES), list(SIZES.values()))[np.argsort(turn)]
    rng = np.random.default_rng(0)
    X = (rng.integers(-9, 9, size=(len(samples), 3)) * rng.integers(0, 2, size=(len(samples), 3))).astype(dtype)
    X[:, 0] = np.arange(len(X))  # each cell is another
    obs = pd.DataFrame({"sample": samples, "label": [LABELS[s] for s in samples]})
    obs["weight"] = rng.uniform(0.5, 2.0, len(obs))
    obs.index = [f"cell{i}" for i in range(len(obs))]
    return AnnData(X, obs=obs, var=pd.DataFrame(index=GENES))


def chosen(adata: AnnData, *, seed=0, **options) -> Selection:
    return select(adata, "sample", rng=np.random.default_rng(seed), **options)


def read(
    adata: AnnData,
    *,
    label_key="label",
    seed=0,
    use_rep=None,
    layer=None,
    mask_var=None,
    components=None,
    summary=None,
    **options,
) -> Cohort:
    """Cells of chosen samples with their labels."""
    features = read_features(adata, use_rep=use_rep, layer=layer, mask_var=mask_var)
    rng = np.random.default_rng(seed)
    selection = select(adata, "sample", rng=rng, **options)
    target = None if label_key is None else selection.target(label_key, "classes", None)
    summary = as_summary(summary, selection.sizes, len(features.names))
    cohort = selection.read(features, components=components, summary=summary, rng=rng)
    return cohort if target is None else labelled(cohort, target)


def clouds(cohort: Cohort) -> dict[str, tuple]:
    """Label, cells and weights of each sample by name; cells in an order of their own."""
    found = {}
    for p, name in enumerate(cohort.names):
        rows = slice(cohort.offsets[p], cohort.offsets[p + 1])
        order = np.lexsort(cohort.points[rows].T)
        label = str(cohort.classes[cohort.labels[p]])
        found[str(name)] = (label, cohort.points[rows][order].tolist(), cohort.weights[rows][order].tolist())
    return found


def assert_same(found: Cohort, truth: Cohort) -> None:
    """The same values of the same precision in the same order."""
    for name in ("points", "weights", "offsets", "labels", "names", "classes"):
        np.testing.assert_array_equal(getattr(found, name), getattr(truth, name), err_msg=name)
    assert found.points.dtype == truth.points.dtype


MATRICES = {
    "C order": np.ascontiguousarray,
    "Fortran order": np.asfortranarray,
    "csr_matrix": sparse.csr_matrix,
    "csc_matrix": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "csc_array": sparse.csc_array,
}
