"""Changes of genes along a stored metric, written out from the plans of `tl.plan`, pair by pair and entry by entry."""

from itertools import combinations

import numpy as np
import pandas as pd
from anndata import AnnData

import scggml as sg

QUIET = {"progress": False}


def cohort(
    *,
    n_samples: int = 3,
    n_cells: int = 7,
    n_genes: int = 11,
    classes: int = 2,
    seed: int = 0,
) -> AnnData:
    """Samples of a few cells of two types, in turn; three genes differ between classes, one of them in one type alone.

    With a donor and batch, age, dose and grade of each sample, and a weight of each cell.
    """
    rng = np.random.default_rng(seed)
    P = classes * n_samples
    sample = rng.permutation(np.repeat(np.arange(P), n_cells + np.arange(P) % 3))
    label, kind = sample % classes, rng.integers(2, size=len(sample))
    X = rng.normal(size=(len(sample), n_genes)) + 0.4 * rng.normal(size=(P, n_genes))[sample]
    X[:, 0] += 1.5 * label
    X[:, 1] -= label
    X[:, 2] += 2.0 * label * kind
    X[:, 3] += 3.0 * kind
    obs = pd.DataFrame({"sample": [f"s{s}" for s in sample], "label": [f"c{c}" for c in label]})
    obs["type"] = np.where(kind, "T", "B")
    obs["batch"] = [f"b{b}" for b in sample // classes % 2]
    obs["age"] = rng.uniform(20, 60, P)[sample]
    obs["dose"] = (np.arange(P) % classes + rng.uniform(0, 0.5, P))[sample]
    obs["grade"] = pd.Categorical.from_codes(label, [f"grade {c}" for c in range(classes)], ordered=True)
    obs = obs.astype(dict.fromkeys(["sample", "label", "type", "batch"], "category"))
    obs["weight"] = rng.uniform(0.5, 2, len(obs))
    obs.index = [f"cell{i}" for i in range(len(obs))]
    return AnnData(X + 5, obs=obs, var=pd.DataFrame(index=[f"gene{g}" for g in range(n_genes)]))


def learn(adata: AnnData, label_key: str = "label", **options) -> AnnData:
    """Learn a metric of two components."""
    sg.tl.ggml(adata, "sample", label_key, **({"n_comps": 2} | QUIET | options))
    return adata


def with_rep(adata: AnnData, name: str = "latent", d: int = 4, seed: int = 1) -> AnnData:
    """Add a representation without loadings, which is not linear in the genes."""
    mix = np.random.default_rng(seed).normal(size=(adata.n_vars, d))
    adata.obsm[name] = np.tanh((adata.X - 5) @ mix / 3)
    return adata


class Written:
    """Samples of a metric with their plans and expression.

    Weights of pairs of samples (p, q) need not add up to 1; those of shifts are positive if p is at the high end and
    negative if q is. `shifts` (n_genes,) are taken off the expression of each sample.
    """

    def __init__(self, adata: AnnData, label_key: str = "label", *, expression=None, shifts=None) -> None:
        self.adata = adata
        X = np.asarray(adata.X if expression is None else expression, dtype=np.float64)
        obs = adata.obs[["sample", label_key]].drop_duplicates("sample").set_index("sample")[label_key]
        self.samples, self.labels = list(obs.index), obs.to_dict()
        place = pd.Series(np.arange(adata.n_obs), index=adata.obs_names)
        self.plans, self.rows, self.mass = {}, {}, {}
        for p, q in combinations(self.samples, 2):
            if self.labels[p] == self.labels[q]:
                continue
            plan = sg.tl.plan(adata, p, q)
            T = plan.X.toarray()
            self.plans[p, q] = T
            self.rows[p], self.rows[q] = place[plan.obs_names].to_numpy(), place[plan.var_names].to_numpy()
            self.mass[p], self.mass[q] = T.sum(axis=1), T.sum(axis=0)
        self.Z = adata.obsm["X_ggml"]
        self.expression = X.copy()
        for s in self.samples:
            if shifts is not None:
                self.expression[adata.obs["sample"] == s] -= shifts[s]
        # spread over the cells as they were measured, samples counting equally
        parts = [(self.mass[s], X[self.rows[s]]) for s in self.samples]
        mean = np.mean([m @ x for m, x in parts], axis=0)
        self.sd = np.sqrt(np.mean([m @ (x - mean) ** 2 for m, x in parts], axis=0))

    def pseudobulk(self, s: str) -> np.ndarray:
        """(n_genes,) mean expression of a sample."""
        return self.mass[s] @ self.expression[self.rows[s]]

    def bulk(self, label) -> np.ndarray:
        """(n_genes,) mean of the samples of a class."""
        return np.mean([self.pseudobulk(s) for s in self.samples if self.labels[s] == label], axis=0)

    def patterns(self, weights: dict, types: dict | None = None, names: list | None = None) -> np.ndarray:
        """(n_types, k, n_genes) by the formula; a type has half of an entry for each end that is of the type."""
        names = [None] if names is None else names
        k, total = self.Z.shape[1], sum(weights.values())
        out, squares = np.zeros((len(names), k, self.expression.shape[1])), np.zeros(k)
        for (p, q), weight in weights.items():
            for a, b in np.argwhere(self.plans[p, q] > 0):
                x, y = self.rows[p][a], self.rows[q][b]
                mass = weight / total * self.plans[p, q][a, b]
                step, change = self.Z[x] - self.Z[y], self.expression[x] - self.expression[y]
                squares += mass * step**2
                for t, name in enumerate(names):
                    share = 1.0 if name is None else np.mean([types[x] == name, types[y] == name])
                    out[t] += share * mass * np.outer(step, change)
        return out / np.sqrt(squares)[:, None] / np.where(self.sd > 0, self.sd, np.inf)

    def shifts(self, weights: dict, types: np.ndarray, names: list) -> np.ndarray:
        """(n_types, n_genes) difference of the ends in the cells of a type; weights are signed."""
        out, total = np.zeros((len(names), self.expression.shape[1])), sum(abs(w) for w in weights.values())
        for (p, q), weight in weights.items():
            for a, b in np.argwhere(self.plans[p, q] > 0):
                x, y = self.rows[p][a], self.rows[q][b]
                change = weight / total * self.plans[p, q][a, b] * (self.expression[x] - self.expression[y])
                for t, name in enumerate(names):
                    out[t] += np.mean([types[x] == name, types[y] == name]) * change
        return out

    def between(self, batch: str | None = None) -> dict:
        """Weights of pairs of different classes (of one batch); all pairs of classes have the same sum."""
        batches = None if batch is None else self.adata.obs.drop_duplicates("sample").set_index("sample")[batch]
        kinds: dict = {}
        for p, q in self.plans:
            if self.labels[p] != self.labels[q] and (batch is None or batches[p] == batches[q]):
                kinds.setdefault(frozenset((self.labels[p], self.labels[q])), []).append((p, q))
        return {pair: 1 / len(pairs) / len(kinds) for pairs in kinds.values() for pair in pairs}
