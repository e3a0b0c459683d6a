"""Cohorts that are hard to draw, written by hand: many samples, classes and cell types, and names of 40 letters.

Each function returns what a plot takes: the data, and the options without which it draws nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from _evaluations import cross_validated, planned
from _metrics import metric_entry, rank_by_hand
from anndata import AnnData
from scipy.sparse import csr_matrix

from scggml._anndata.metric import read_metric
from scggml._anndata.ranking import refresh_ranking

Plotted = tuple[AnnData, dict[str, Any]]


@dataclass(frozen=True)
class Crowd:
    """Numbers of a cohort, and the letters of all names."""

    samples: int
    classes: int
    types: int
    genes: int
    letters: int

    def names(self, what: str, n: int) -> list[str]:
        """`n` different names, with spaces and underscores as names have them."""
        words = f"{what} with_a longer name of several words and more"
        return [f"{words[: self.letters - 3].rstrip()}{i:02d}" if self.letters > 10 else f"{what}{i}" for i in range(n)]

    @property
    def labels(self) -> np.ndarray:
        """Class of each sample; each class has one at least."""
        return np.array(self.names("class", self.classes), dtype=object)[np.arange(self.samples) % self.classes]

    @property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(0)


CROWDS = {
    "two classes": Crowd(samples=20, classes=2, types=6, genes=12, letters=6),
    "long names": Crowd(samples=40, classes=2, types=12, genes=30, letters=40),
    "many of all": Crowd(samples=634, classes=12, types=73, genes=60, letters=40),
    "one sample per class": Crowd(samples=12, classes=12, types=4, genes=5, letters=40),
}


def samples_of(crowd: Crowd) -> AnnData:
    """Samples with distances, coordinates, genes and columns of several kinds."""
    points = crowd.rng.normal(size=(crowd.samples, 3)) + 2 * (np.arange(crowd.samples) % crowd.classes)[:, None]
    obs = pd.DataFrame(
        {
            "label": pd.Categorical(crowd.labels),
            "age": crowd.rng.uniform(20, 80, crowd.samples).round(2),
            "n_cells": crowd.rng.integers(20, 20000, crowd.samples),
        },
        index=crowd.names("patient", crowd.samples),
    )
    obs.index = [f"{name}_{i}" for i, name in enumerate(obs.index)] if crowd.samples > 100 else obs.index
    out = AnnData(
        crowd.rng.normal(size=(crowd.samples, crowd.genes)),
        obs=obs,
        var=pd.DataFrame(index=crowd.names("gene", crowd.genes)),
    )
    apart = points[:, None] - points[None]
    out.obsp["ggml_distances"] = np.sqrt((apart**2).sum(axis=2))
    out.uns["ggml_distances"] = {"seen": "training", "label_key": "label"}
    out.obsm["X_mds"] = points
    out.uns["mds"] = {"variance_ratio": np.array([0.5, 0.3, 0.2]), "key": "ggml"}
    return out


def metric_of(crowd: Crowd, k: int = 5) -> AnnData:
    """A metric of several components with genes that are ranked and tested, and a cell for each sample."""
    genes = crowd.names("gene", crowd.genes)
    W = crowd.rng.normal(size=(k, crowd.genes)) * np.geomspace(1.0, 0.4, k)[:, None]
    obs = pd.DataFrame(
        {
            "sample_id": pd.Categorical(samples_of(crowd).obs_names),
            "label": pd.Categorical(crowd.labels),
            "batch": pd.Categorical(
                np.array(crowd.names("batch", crowd.classes))[np.arange(crowd.samples) % crowd.classes]
            ),
        },
        index=[f"cell{i}" for i in range(crowd.samples)],
    )
    out = AnnData(np.zeros((crowd.samples, crowd.genes)), obs=obs, var=pd.DataFrame(index=genes))
    out.uns["ggml"] = metric_entry(W, genes)
    out.uns["ggml"]["history"] = {"eigenvalues": np.geomspace(30, 0.5, 6 * k).reshape(6, k)}
    out.uns["ggml"]["choice"] = {
        "ridge": np.array([0.05, 0.05, 0.00012345, 0.05, 0.5]),
        "ridge_scale": np.array(["mean", "top", "mean", "mean", "top"], dtype=object),
        "shrinkage": np.array([0.0, 0.4, 0.123456, 0.4, 0.9]),
        "score": np.array([0.5, 0.6, 0.55, 0.4, 0.3]),
        "error": np.full(5, 0.1),
        "given_up": np.array([False, False, True, False, False]),
        "chosen": 1,
        "reason": "chosen",
    }
    out.varm["ggml"] = W.T
    out.obsm["X_ggml"] = np.pad(samples_of(crowd).obsm["X_mds"], ((0, 0), (0, k - 3)))
    out.X = out.obsm["X_ggml"] @ np.linalg.pinv(W).T
    first, last = crowd.labels[0], crowd.labels[crowd.classes - 1]
    rank_by_hand(out, -W.T / 2, W.T, ends=(last, first), unclear=genes[:1])
    middle = np.column_stack([-W.T / 2, np.linalg.norm(W.T / 2, axis=1)])
    rates = np.geomspace(0.001, 1.0, crowd.genes)
    out.uns["ggml_stability"] = {
        "genes": out.var_names.to_numpy().astype(object),
        "fingerprint": out.uns["ggml"]["fingerprint"],
        "lower": middle - 0.2,
        "upper": middle + 0.2,
        "frequency": np.linspace(0, 1, middle.size).reshape(middle.shape),
        "excess": np.linspace(3, -1, crowd.genes),
        "p_value": rates / 2,
        "p_adjusted": rates,
        "params": {"n_boot": 100, "n_perm": 100, "n_top": 50, "level": 0.9},
    }
    refresh_ranking(out, read_metric(out, "ggml"))
    return out


def attributed(crowd: Crowd) -> AnnData:
    adata = metric_of(crowd)
    adata.obs["ggml_excess"] = crowd.rng.normal(size=crowd.samples)
    a, b = crowd.labels[0], crowd.labels[1]
    state, composition = crowd.rng.normal(size=(2, crowd.types))
    types = pd.DataFrame(
        {
            "class_a": a,
            "class_b": b,
            "cell_type": crowd.names("cell type", crowd.types),
            "excess_state": state,
            "excess_composition": composition,
            "excess": state + composition,
        }
    )
    mark = adata.uns["ggml"]["fingerprint"]
    adata.uns["ggml_attribution"] = {"gap": 1.0, "types": types, "seen": "training", "fingerprint": mark}
    return adata


def compared(crowd: Crowd) -> AnnData:
    samples = samples_of(crowd)
    names = ["label", "age", *crowd.names("covariate", 12)]
    n = len(names)
    table = {"covariate": names, "n_samples": [crowd.samples, *[crowd.samples - 1] * (n - 1)]}
    for ending in ("", "_given_label"):
        table |= {f"r2_adjusted{ending}": np.linspace(0.4, -0.05, n), f"r2_null95{ending}": np.full(n, 0.05)}
        table[f"p_adjusted{ending}"] = np.geomspace(0.001, 1.0, n)
    samples.uns["ggml_covariates"] = {
        "table": pd.DataFrame(table), "params": {"label_key": "label"}, "seen": "training"
    }  # fmt: skip
    return samples


def enriched(crowd: Crowd) -> AnnData:
    rows = [
        (f"ggml{i}", f"higher in {end}", "GO:BP", f"{i}{end}{j}", f"{name} {i}{side}", 10.0 ** -(3 + j), 5 + j)
        for i in range(1, 6)
        for side, end in enumerate((crowd.labels[0], crowd.labels[1]))
        for j, name in enumerate(crowd.names("set", min(crowd.types, 15)))
    ]
    columns = ["component", "direction", "source", "native", "name", "p_adjusted", "intersection_size"]
    return AnnData(uns={"ggml_enrichment": {"table": pd.DataFrame(rows, columns=columns), "params": {}}})


def evaluated(crowd: Crowd) -> AnnData:
    methods = crowd.names("method", 6)
    truth = crowd.labels
    said = np.where(crowd.rng.random(crowd.samples) < 0.7, truth, np.roll(truth, 1))
    scores = [
        (m, r, -1, "balanced_accuracy", 0.5 + 0.05 * i) for i, m in enumerate([*methods, "majority"]) for r in (0, 1)
    ]
    predictions = pd.DataFrame(
        {
            "method": methods[0],
            "repeat": 0,
            "fold": 0,
            "sample": range(crowd.samples),
            "label": truth,
            "prediction": said,
        }
    )
    return cross_validated(
        classes=np.array(crowd.names("class", crowd.classes), dtype=object),
        scores=pd.DataFrame(scores, columns=["method", "repeat", "fold", "metric", "value"]),
        predictions=predictions,
        probabilities=np.full((crowd.samples, crowd.classes), 1 / crowd.classes),
    )


def confident(crowd: Crowd) -> AnnData:
    """Several methods with probabilities of all kinds."""
    adata = evaluated(crowd)
    entry, n = adata.uns["cross_validation"], crowd.samples
    methods = list(dict.fromkeys(entry["scores"]["method"]))
    one = entry["predictions"]
    entry["predictions"] = pd.concat([one.assign(method=name) for name in methods], ignore_index=True)
    entry["probabilities"] = crowd.rng.dirichlet(np.full(crowd.classes, 0.3), n * len(methods))
    entry |= {"samples": np.array([str(i) for i in range(n)], dtype=object), "groups": np.arange(n)}
    entry |= {"distances": np.empty((0, n, n)), "distance_methods": np.array([], dtype=object)}
    return adata


def tuned(crowd: Crowd) -> AnnData:
    names = crowd.names("setting", min(crowd.genes, 25))
    rows = [(0, f, name, 0.5 + 0.01 * i, i == f) for f in range(2) for i, name in enumerate(names)]
    rows += [(-1, -1, name, 0.6, i == 1) for i, name in enumerate(names)]
    choices = pd.DataFrame(rows, columns=["repeat", "fold", "setting", "inner_score", "chosen"])
    adata = cross_validated(choices=choices)
    scores = adata.uns["cross_validation"]["scores"]
    scores["method"] = scores["method"].replace("canonical", "tuned")
    adata.uns["tuning"] = adata.uns.pop("cross_validation")
    return adata


def permuted(crowd: Crowd) -> AnnData:
    entry = {"kind": "permutation_test", "null": crowd.rng.uniform(size=12345), "observed": 0.987, "p_value": 1 / 12346}
    return AnnData(np.zeros((2, 1)), uns={"permutation_test": entry | {"metric": "balanced_accuracy"}})


def coupled(crowd: Crowd) -> AnnData:
    names = crowd.names("cell type", crowd.types)
    mass = crowd.rng.dirichlet(np.full(crowd.types, 0.2), crowd.types) / crowd.types
    ends = [
        pd.DataFrame({"cell_type": pd.Categorical(names)}, index=[f"{s}{i}" for i in range(len(names))]) for s in "ab"
    ]
    first, last = crowd.names("patient", 2)
    info = {"sample_a": first, "sample_b": last, "distance": 12.3456, "seen": "training"}
    return AnnData(
        csr_matrix(mass), obs=ends[0], var=ends[1], layers={"distance": csr_matrix(mass)}, uns={"plan": info}
    )


def predicted(crowd: Crowd) -> AnnData:
    classes = crowd.names("class", crowd.classes)
    n = min(crowd.samples, 200)
    obs = pd.DataFrame(
        {"unlike_reference": np.arange(n) % 9 == 0, "label": crowd.labels[:n]}, index=samples_of(crowd).obs_names[:n]
    )
    p = crowd.rng.dirichlet(np.full(len(classes), 0.3), n)
    entry = {"kind": "prediction", "classes": np.array(classes, dtype=object), "params": {"label_key": "label"}}
    return AnnData(np.zeros((n, 1)), obs=obs, obsm={"prediction": p}, uns={"prediction": entry})


def followed(crowd: Crowd) -> AnnData:
    """An order of the samples with genes and cell types along it, some significant."""
    samples, types = samples_of(crowd), crowd.names("cell type", crowd.types)
    samples.obs["ggml_held_out_pseudotime"] = crowd.rng.permutation(crowd.samples) / max(crowd.samples - 1, 1)
    shares = crowd.rng.dirichlet(np.ones(crowd.types), crowd.samples)
    samples.obsm["ggml_held_out_cell_types"] = pd.DataFrame(shares, samples.obs_names, types)
    tables = {}
    for what, names in (("gene", list(samples.var_names)), ("cell_type", types)):
        n = len(names)
        rates = {"rho": np.linspace(-1, 1, n), "r2": np.linspace(1, 0, n), "p_adjusted": np.linspace(0, 0.1, n)}
        tables[what] = pd.DataFrame({what: names} | rates)
    samples.uns["ggml_held_out_trajectory"] = {
        "genes": tables["gene"],
        "cell_types": tables["cell_type"],
        "association": 0.9,
        "measure": "share of the variance of ranks",
        "p_value": 0.005,
        "seen": "held out",
        "params": {"label_key": "label"},
    }
    return samples


def influenced(crowd: Crowd) -> AnnData:
    """The metric without each donor, some of whom stand out."""
    adata, n = metric_of(crowd), crowd.samples
    table = pd.DataFrame({"donor": crowd.names("donor", n)})
    for name in ("similarity", "separation", "fit", "strangeness"):
        table[name] = crowd.rng.normal(size=n)
    table["reason"] = np.where(np.arange(n) < 7, "its cells are unlike those of others", "")
    adata.uns["ggml_influence"] = {"table": table, "separation": 0.2, "fingerprint": adata.uns["ggml"]["fingerprint"]}
    return adata


DRAWN: dict[str, Callable[[Crowd], Plotted]] = {
    "attribution": lambda c: (attributed(c), {}),
    "calibration": lambda c: (confident(c), {}),
    "clustermap": lambda c: (samples_of(c), {"color": ["label", "age"]}),
    "confusion": lambda c: (evaluated(c), {}),
    "covariates": lambda c: (compared(c), {}),
    "cross_validation": lambda c: (evaluated(c), {}),
    "embedding": lambda c: (samples_of(c), {"color": "label"}),
    "enrichment": lambda c: (enriched(c), {}),
    "gene_stability": lambda c: (metric_of(c), {"component": 1}),
    "heatmap": lambda c: (samples_of(c), {"genes": c.names("gene", min(c.genes, 30)), "color": ["label", "age"]}),
    "history": lambda c: (metric_of(c), {}),
    "influence": lambda c: (influenced(c), {}),
    "loadings": lambda c: (metric_of(c), {}),
    "permutation_test": lambda c: (permuted(c), {}),
    "plan": lambda c: (coupled(c), {"cell_type_key": "cell_type"}),
    "power": lambda c: (planned(), {}),
    "predictions": lambda c: (predicted(c), {}),
    "scores": lambda c: (metric_of(c), {}),
    "trajectory": lambda c: (followed(c), {}),
    "tuning": lambda c: (tuned(c), {}),
    "volcano": lambda c: (metric_of(c), {"component": 1}),
}
"""The data of each plot, and its options."""


def pairs_of(crowd: Crowd) -> AnnData:
    """Cell types in two classes, as `sc.get.aggregate` gives them."""
    types = crowd.names("cell type", crowd.types)
    obs = pd.DataFrame({"cell_type": np.repeat(types, 2), "label": crowd.names("class", 2) * crowd.types})
    obs = obs.astype("category")
    obs.index = obs.index.astype(str)
    X = crowd.rng.normal(size=(len(obs), crowd.genes))
    return AnnData(X, obs=obs, var=pd.DataFrame(index=crowd.names("gene", crowd.genes)))


MORE: dict[str, Callable[[Crowd], Plotted]] = {
    "embedding, several": lambda c: (samples_of(c), {"color": ["label", "age"]}),
    "heatmap, groups": lambda c: (
        samples_of(c), {"genes": c.names("gene", min(c.genes, 30)), "groupby": "label"}
    ),
    "heatmap, cell types": lambda c: (
        pairs_of(c), {"genes": c.names("gene", min(c.genes, 30)), "groupby": ["cell_type", "label"]}
    ),
    "scores, by color": lambda c: (metric_of(c), {"color": "batch"}),
}  # fmt: skip
"""Other ways to draw, each by the name of the plot and what differs."""
