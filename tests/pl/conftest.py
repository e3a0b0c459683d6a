"""What is drawn: metrics and samples written by hand where values must be known, else what the tools wrote.

Everything that a test in this folder asks of `tl` and `ext` is asked here, of the smallest cohorts that will do, so
that a change of their options is a change of this file.
"""

import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from _evaluations import planned
from _metrics import rank_by_hand
from anndata import AnnData
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from scipy.spatial.distance import cdist

import scggml as sg
from scggml._anndata.fingerprint import fingerprint
from scggml._anndata.reading import Reading

SERIAL = {"n_jobs": 1, "progress": False}


@pytest.fixture(autouse=True)
def _no_window(monkeypatch):
    """Nothing is shown unless a test asks for it."""

    def show(*args, **options):
        raise AssertionError("plt.show() was called")

    monkeypatch.setattr(plt, "show", show)


@pytest.fixture
def shown(monkeypatch) -> list[tuple]:
    """One entry for each call of plt.show()."""
    calls: list[tuple] = []
    monkeypatch.setattr(plt, "show", lambda *args, **options: calls.append((args, options)))
    return calls


@pytest.fixture
def overlaps() -> Callable[..., list[tuple[str, str]]]:
    """Pairs of drawn things (texts, legends, axes with their labels) whose boxes share more than a pixel."""

    def overlaps(figure: Figure, *parts: Artist) -> list[tuple[str, str]]:
        figure.canvas.draw()
        boxes = [(str(part), part.get_tightbbox()) for part in parts]
        return [
            (one, other)
            for (one, a), (other, b) in itertools.combinations(boxes, 2)
            if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1
        ]

    return overlaps


# Written by hand


@pytest.fixture
def make_samples() -> Callable[..., AnnData]:
    """Samples with distances, three coordinates, and the given columns of `.obs`."""

    def make(n: int = 6, *, names: Sequence[str] | None = None, **obs: Sequence) -> AnnData:
        points = np.random.default_rng(0).normal(size=(n, 3))
        index = pd.Index([f"patient{i}" for i in range(n)] if names is None else list(names))
        samples = AnnData(np.zeros((n, 1)), obs=pd.DataFrame(obs, index=index))
        samples.obsp["ggml_distances"] = cdist(points, points)
        samples.obsm["X_mds"] = points
        samples.uns["mds"] = {"variance_ratio": np.array([0.5, 0.3, 0.2])}
        return samples

    return make


@pytest.fixture
def make_metric() -> Callable[..., AnnData]:
    """An AnnData of cells that holds a metric with ranked genes; singular values are the lengths of the components.

    Genes have patterns of half the size of their weights in the components and of the other sign. They are higher in
    class1 where the weight is positive, and have a clear direction unless they are among the `unclear`. Genes that are
    `unused` have no loadings.
    """

    def make(
        components: Sequence[Sequence[float]] = ((3.0, -2.0, 0.0, 1.0, -4.0), (0.5, 1.0, -0.25, 0.0, 0.0)),
        *,
        key: str = "ggml",
        history: Mapping[str, Sequence[float]] | None = None,
        tol: float = 0.0,
        genes: bool = True,
        unclear: Sequence[str] = (),
        unused: Sequence[str] = (),
        cells: Sequence[str] = ("cell0", "cell1", "cell2"),
    ) -> AnnData:
        W = np.asarray(components, dtype=np.float64)
        names = [f"g{i}" for i in range(W.shape[1])]
        adata = AnnData(
            np.zeros((len(cells), len(names))), obs=pd.DataFrame(index=list(cells)), var=pd.DataFrame(index=names)
        )
        record = {"loss": [4.0, 2.0, 1.0], "gradient_norm": [1.0, 0.5, 0.1], "active": [1.0, 0.75, 0.5]}
        features = np.array(names if genes else [f"X_pca_{i}" for i in range(len(names))], dtype=object)
        learner = sg.tl.Learner(method=sg.tl.Triplets(tol=tol), n_comps=len(W))
        reading = Reading(sample_key="sample_id", label_key="label")
        lengths = np.linalg.norm(W, axis=1)
        adata.uns[key] = {
            "components": W,
            "singular_values": lengths,
            "features": features,
            "learner": learner.to_params(),
            "settled": learner.to_params(),
            "reading": reading.to_params(),
            "fingerprint": fingerprint(W, lengths, features, learner=learner, settled=learner, reading=reading),
            "history": {name: np.asarray(v, dtype=np.float64) for name, v in (history or record).items()},
        }
        if genes:
            adata.varm[key] = np.where(adata.var_names.isin(unused)[:, None], np.nan, W.T)
        rank_by_hand(adata, -W.T / 2, W.T, key=key, unclear=unclear)
        return adata

    return make


# Written by the tools; tests of a session share them, so one that changes anything takes a copy


@pytest.fixture(scope="session")
def learn() -> Callable[..., AnnData]:
    """Learn a metric in closed form, as by default, or by `passes` with gradient steps, on a coreset if it is given."""

    def learn(
        adata: AnnData,
        *,
        passes: int = 0,
        tol: float = 0.0,
        refine: int = 0,
        coreset: int | None = None,
        n_comps: int = 2,
        **options,
    ) -> AnnData:
        if passes:
            options["method"] = sg.tl.Triplets(max_iter=passes, tol=tol, refine=refine)
        if coreset is not None:
            options["summary"] = sg.tl.Coreset(coreset)
        sg.tl.ggml(adata, "sample_id", "label", n_comps=n_comps, **options, progress=False)
        return adata

    return learn


@pytest.fixture(scope="session")
def make_cohort() -> Callable[..., AnnData]:
    """Cells of `n_samples` samples of each of three classes, in three modes of `n_cells` each."""

    def make(n_samples: int = 3, n_cells: int = 10, rng: int = 0) -> AnnData:
        return sg.datasets.synthetic(n_noise=3, noise_scale=1.0, n_samples=n_samples, n_cells=n_cells, rng=rng)

    return make


@pytest.fixture(scope="session")
def learned(learn, make_cohort) -> AnnData:
    """A metric in closed form, as by default, with ranked genes, which have symbols."""
    adata = learn(make_cohort())
    adata.var["symbol"] = ["CD4", None, "LYZ", "LYZ"]
    sg.tl.rank_genes(adata, **SERIAL)
    return adata


@pytest.fixture(scope="session")
def learned_on_features(learn, make_cohort) -> AnnData:
    """A metric on features of which no genes are known, with the genes that change along it."""
    adata = make_cohort()
    adata.obsm["X_other"] = adata.X[:, ::-1] / 2
    learn(adata, use_rep="X_other")
    sg.tl.rank_genes(adata, **SERIAL)
    return adata


@pytest.fixture(scope="session")
def refined(learn, make_cohort) -> AnnData:
    """A metric learned by steps on a summary, then on all cells."""
    return learn(make_cohort(n_cells=20, rng=1), passes=5, coreset=8, refine=4)


@pytest.fixture(scope="session")
def attributed(learned) -> AnnData:
    """The gap between classes put down to cells and cell types."""
    return sg.tl.attribute(learned, cell_type_key="mode", copy=True, progress=False)


@pytest.fixture(scope="session")
def attributed_without_types(learn, make_cohort) -> AnnData:
    """The gap put down to cells alone, by a metric of one component."""
    adata = learn(make_cohort(), n_comps=1)
    sg.tl.attribute(adata, progress=False)
    return adata


@pytest.fixture(scope="session")
def stable(learned) -> AnnData:
    """Intervals of the patterns, without rates."""
    return sg.tl.gene_stability(learned, 5, n_perm=0, n_top=2, copy=True, **SERIAL)


@pytest.fixture(scope="session")
def stable_with_rates(learned) -> AnnData:
    """Intervals of the patterns and false discovery rates."""
    return sg.tl.gene_stability(learned, 5, n_perm=20, n_top=2, copy=True, **SERIAL)


@pytest.fixture(scope="session")
def cross_fitted(learn, make_cohort) -> AnnData:
    """A metric, those without some donors, and columns of the samples."""
    adata = learn(make_cohort(n_samples=5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # so few donors need not differ
        sg.tl.cross_fit(adata, n_splits=5, **SERIAL)
    codes = adata.obs["sample_id"].cat.codes
    adata.obs["age"] = codes.astype(float).where(codes > 0)
    adata.obs["site"] = pd.Categorical(np.where(codes % 2, "x", "y"))
    return adata


@pytest.fixture(scope="session")
def coupled(learned) -> AnnData:
    """The plan of two samples of different classes."""
    names = learned.obs["sample_id"].astype(str).unique()
    return sg.tl.plan(learned, names[0], names[-1])


@pytest.fixture(scope="session")
def enriched(learn) -> AnnData:
    """A metric on counts, and gene sets of its components."""
    with pytest.warns(UserWarning, match="looks like raw counts"):
        adata = learn(sg.datasets.synthetic_counts(n_samples=4, n_cells=30, n_genes=80, n_planted=8))
    sg.tl.rank_genes(adata, **SERIAL)
    one, two = (sg.get.rank_genes_df(adata, component=i)["gene"] for i in (1, 2))
    sets = {"STRONG_ONE": one[:6], "the second": two[:5]}
    sg.ext.enrich_gmt(adata, sets, n_genes=10)
    return adata


@pytest.fixture(scope="session")
def embedded(learn, make_cohort) -> AnnData:
    """Samples of different sizes with distances, coordinates, and columns of each kind, one of them with colors."""
    cells = make_cohort()
    cells = cells[np.random.default_rng(0).random(cells.n_obs) < 0.8].copy()
    samples = sg.tl.distances(learn(cells), progress=False)
    sg.tl.mds(samples)
    stages = ["well", "ill", "dead"]
    others = samples.n_obs - 1  # the first sample lacks both
    samples.obs["stage"] = pd.Categorical([None, *(stages * others)[:others]], categories=stages, ordered=True)
    samples.obs["age"] = [np.nan, *np.linspace(70, 30, others)]
    samples.uns["label_colors"] = np.array(["red", "lime", "blue"])
    return samples


@pytest.fixture(scope="session")
def compared(embedded) -> AnnData:
    """What covariates explain of two kinds of distances."""
    samples = embedded.copy()
    samples.obsp["euclidean_distances"] = np.sqrt(samples.obsp["ggml_distances"])
    samples.uns["euclidean_distances"] = {"label_key": "label"}
    for key in ("ggml", "euclidean"):
        sg.tl.covariates(samples, ["age"], key=key, n_perm=19)
    return samples


@pytest.fixture(scope="session")
def followed(embedded) -> AnnData:
    """An order of the samples, with genes and without a test of them."""
    samples = embedded.copy()
    sg.tl.trajectory(samples, key="ggml", progress=False)
    return samples


@pytest.fixture(scope="session")
def influenced(learn, make_cohort) -> AnnData:
    """The metric without each donor."""
    adata = learn(make_cohort(n_samples=4))
    sg.tl.influence(adata, **SERIAL)
    return adata


@pytest.fixture(scope="session")
def evaluated(make_cohort) -> AnnData:
    """Two methods on held-out donors."""
    adata = make_cohort(n_samples=6)
    options = {"methods": ["canonical", "majority"], "n_splits": 3, "n_repeats": 2}
    sg.tl.cross_validate(adata, "sample_id", "label", **options, **SERIAL)
    return adata


@pytest.fixture(scope="session")
def evaluated_by_batch(make_cohort) -> AnnData:
    """A method on held-out donors and on held-out sites."""
    adata = make_cohort(n_samples=6)
    place = adata.obs["sample_id"].cat.codes.to_numpy() % 2
    adata.obs["site"] = np.where(place, "north", "south")
    options = {"methods": ["canonical", "majority"], "n_splits": 3, "n_repeats": 2, "batch_key": "site"}
    sg.tl.cross_validate(adata, "sample_id", "label", **options, **SERIAL)
    return adata


@pytest.fixture(scope="session")
def permuted(make_cohort) -> AnnData:
    """The true labels and shuffled ones."""
    adata = make_cohort(n_samples=4)
    sg.tl.permutation_test(adata, "sample_id", "label", n_permutations=9, n_splits=2, **SERIAL)
    return adata


@pytest.fixture(scope="session")
def curved() -> AnnData:
    """A learning curve of balanced accuracy and AUROC."""
    return planned()


@pytest.fixture(scope="session")
def tuned(make_cohort) -> AnnData:
    """Four settings in nested folds."""
    adata = make_cohort(n_samples=6)
    options = {"space": {"n_comps": [1, 3], "shrinkage": [0.0, 0.4]}, "n_splits": 3, "n_inner_splits": 2}
    sg.tl.tune(adata, "sample_id", "label", **options, **SERIAL)
    return adata


@pytest.fixture(scope="session")
def predicted(learn, make_cohort) -> AnnData:
    """New samples with probabilities of classes."""
    reference = learn(make_cohort(n_samples=6))
    return sg.tl.predict(make_cohort(n_samples=2, rng=1), reference, n_splits=3, n_repeats=1, **SERIAL)
