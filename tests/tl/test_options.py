"""No option is mute: what each changes stands in a table, which docs/options.md shows and every option is held to."""

import inspect
import warnings
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _metrics import mark
from anndata import AnnData

import scggml as sg
from scggml._anndata.metric import read_metric
from scggml._anndata.selection import Selection

PAGE = Path(__file__).parents[2] / "docs" / "options.md"
METHODS = {"canonical": sg.tl.Canonical(), "triplets": sg.tl.Triplets(), "paper": sg.tl.Triplets.paper()}
BESIDE = {"key_added", "rng", "n_jobs", "progress", "copy"}

EFFECTS = {
    "W": "the metric, up to its scale",
    "cells": "which cells, weights and features are read, when it is learned and for all that follows",
    "distances": "distances between samples under the same W",
    "signs": "which way components point",
    "choice": "the scores by which ridge and shrinkage are decided, and W if others are taken",
    "work": "run time only",
    "later": "folds, permutations and draws of donors of what follows; not W",
    "history": "what is kept of how W was learned; not W",
    "refused": "a ValueError before cells are read",
}


@dataclass(frozen=True)
class Option:
    """What an option changes with each method, beside all defaults.

    `value` is another value of it; `cohort` is where it can show.
    """

    changes: dict[str, tuple[str, ...]]
    value: Any
    cohort: str = "small"


def in_all(*effects: str, value: Any, cohort: str = "small", **others: tuple[str, ...]) -> Option:
    return Option(dict.fromkeys(METHODS, effects) | others, value, cohort)


def of(method: str, *effects: str, value: Any, cohort: str = "small") -> Option:
    return Option({method: effects}, value, cohort)


def of_steps(value: Any, cohort: str = "small") -> Option:
    return Option({"triplets": ("W",), "paper": ("W",)}, value, cohort)


TABLE = {
    "sample_key": in_all("W", "cells", value="half"),
    "label_key": in_all("W", value="state"),
    "use_rep": in_all("W", "cells", value="X_other"),
    "layer": in_all("W", "cells", value="other"),
    "mask_var": in_all("W", "cells", value=np.array([True, True, True, False])),
    "method": in_all("W", value=sg.tl.Triplets(init="pca", max_iter=7, tol=0)),
    "n_comps": in_all("W", value=2),
    "squared": in_all("W", "distances", value=True, canonical=("distances",)),
    "shrinkage": in_all("W", value=0.9),
    "solver": in_all("work", value=sg.tl.Exact(backend="pot")),
    "summary": in_all("W", "cells", value=sg.tl.Coreset(4)),
    "n_cells": in_all("W", "cells", value=6),
    "min_cells": in_all("W", "cells", value=10),
    "weights_key": in_all("W", "cells", value="weight"),
    "label_kind": in_all("W", value=["class0", "class1", "class2"], paper=("refused",)),
    "reference_class": in_all("signs", value="class2"),
    "groups_key": in_all("choice", value="donor", paper=("later",)),
    "batch_key": in_all("W", value="site"),
    "covariate_keys": in_all("W", "cells", value=["age"]),
}
OF_CANONICAL = {
    "ridge": of("canonical", "W", value=5.0),
    "ridge_scale": of("canonical", "W", value="feature"),
    "n_alternations": of("canonical", "W", value=1),
    "max_features": of("canonical", "W", value=3),
    "max_pairs": of("canonical", "W", value=12),
}
OF_TRIPLETS = {
    "margin": of_steps(2.0),
    "penalty": of_steps("l1"),
    "reg": of_steps(1.0),
    "anchors": of_steps("distinct"),
    "n_triplets": of_steps(2),
    "init": of_steps("pca"),
    "lr": of_steps(0.03),
    "max_iter": of_steps(4),
    "tol": of_steps(0.3),
    "batch_size": of_steps(4),
    "refine": of_steps(3, "large"),
    "keep_history": Option({"triplets": ("history",), "paper": ("history",)}, value=True),
}


def cases() -> list[tuple[str, str, Option]]:
    """Method, option and its row."""
    tables = {**TABLE, **OF_CANONICAL, **OF_TRIPLETS}
    return [(method, name, option) for name, option in tables.items() for method in option.changes]


# What a call does


@cache
def cohort(name: str) -> AnnData:
    """Nine samples of 12 cells, one of which has 9; or four of 1000, which are summarized by default."""
    sizes = {"n_samples": 3, "n_cells": 4} if name == "small" else {"n_classes": 2, "n_samples": 2, "n_cells": 334}
    adata = sg.datasets.synthetic(n_noise=3, noise_scale=1.0, rng=1, **sizes)
    rng = np.random.default_rng(0)
    code = adata.obs["sample_id"].cat.codes.to_numpy()
    adata.obs["half"] = [f"{sample}{'ab'[i % 2]}" for i, sample in enumerate(adata.obs["sample_id"].astype(str))]
    adata.obs["state"] = np.array(["on", "off"])[code % 2]
    adata.obs["donor"] = [f"d{c // 3}{c % 3 // 2}" for c in code]
    adata.obs["site"] = np.array(["a", "a", "b"])[code % 3]
    adata.obs["age"] = rng.uniform(20, 80, code.max() + 1)[code]
    adata.obs["weight"] = rng.uniform(0.1, 1.0, adata.n_obs)
    adata.layers["other"] = adata.obsm["X_other"] = (adata.X / 10) ** 3
    return adata[3:].copy()


@dataclass(frozen=True)
class Run:
    """What a call read, wrote and did; `adata` is None if it was refused."""

    adata: AnnData | None
    read: tuple[Any, ...] = ()
    solved: tuple[Any, ...] = ()


def run(name: str, **options: Any) -> Run:
    adata, read, solved = cohort(name).copy(), list[Any](), list[Any]()

    def noting(self: Selection, features: Any, **given: Any) -> Any:
        content = self.names, self.rows, self.weights, features.slot, features.names, given.get("summary")
        read.append(tuple(part.tolist() if isinstance(part, np.ndarray) else part for part in content))
        return original(self, features, **given)

    original, keys = Selection.read, {"sample_key": "sample_id", "label_key": "label"}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="min_cells=10 leaves out")
        warnings.filterwarnings("ignore", message="Learning reached max_iter")
        patch.setattr(Selection, "read", noting)
        for method in ("transport", "distances"):
            patch.setattr(sg.tl.Exact, method, _counting(getattr(sg.tl.Exact, method), solved))
        try:
            sg.tl.ggml(adata, **(keys | {"progress": False, "n_jobs": 1} | options))
        except ValueError:
            assert read == []
            return Run(None)
    return Run(adata, tuple(read), tuple(solved))


def _counting(method: Any, solved: list[Any]) -> Any:
    def noting(self: sg.tl.Exact, *args: Any, **options: Any) -> Any:
        solved.append((method.__name__, self))
        return method(self, *args, **options)

    return noting


@cache
def default(name: str, method: str) -> Run:
    return run(name, method=METHODS[method])


def theta(adata: AnnData) -> np.ndarray:
    W = adata.uns["ggml"]["components"]
    return W.T @ W / np.sum(W**2)


def distances(adata: AnnData, components: np.ndarray, singular_values: np.ndarray) -> np.ndarray:
    """Distances under another W, all else as stored."""
    adata = adata.copy()
    del adata.obsm["X_ggml"]  # of the other metric
    of_w = {
        "class_means",
        "oriented_to",
        "learned_share",
        "history",
        "checksums",
    }  # which has another number of components
    kept = {name: value for name, value in adata.uns["ggml"].items() if name not in of_w}
    entry = kept | {"components": components, "singular_values": singular_values}
    adata.uns["ggml"] = entry | {"fingerprint": mark(entry)}
    return sg.tl.distances(adata, progress=False).obsp["ggml_distances"]


def effects(before: Run, after: Run) -> set[str]:
    """What is different."""
    if after.adata is None:
        return {"refused"}
    one, two = before.adata.uns["ggml"], after.adata.uns["ggml"]
    found = set()
    # with `refine` all cells are read after the summary
    if before.read[0] != after.read[0] or ("adjustment" in one) != ("adjustment" in two):
        found.add("cells")
    W, other = one["components"], two["components"]
    if W.shape != other.shape or not np.allclose(theta(before.adata), theta(after.adata), rtol=1e-5, atol=1e-7):
        found.add("W")
    elif not np.allclose(W, other, rtol=1e-4, atol=1e-6 * np.abs(W).max()):
        assert np.allclose(np.abs(W), np.abs(other), rtol=1e-4, atol=1e-6 * np.abs(W).max())
        found.add("signs")
    if "cells" not in found:
        own = W, one["singular_values"]
        if not np.allclose(distances(before.adata, *own), distances(after.adata, *own), rtol=1e-6):
            found.add("distances")
    if found:
        return found
    if not np.allclose(one.get("choice", {}).get("score", 0), two.get("choice", {}).get("score", 0), rtol=1e-6):
        return {"choice"}
    if before.solved != after.solved:
        return {"work"}
    if set(one["history"]) != set(two["history"]):
        return {"history"}
    same = read_metric(before.adata, "ggml").reading == read_metric(after.adata, "ggml").reading
    return set() if same else {"later"}


# The tests


@pytest.mark.parametrize(
    ("method", "name", "option"), cases(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_an_option_changes_what_the_table_says_and_nothing_else(method, name, option):
    before = default(option.cohort, method)
    if name in TABLE:
        after = run(option.cohort, **({"method": METHODS[method]} | {name: option.value}))
    else:
        after = run(option.cohort, method=replace(METHODS[method], **{name: option.value}))
    assert effects(before, after) == set(option.changes[method])


@pytest.mark.parametrize("method", METHODS)
def test_what_is_said_twice_changes_nothing(method):
    """The other way round: without a change none is seen."""
    assert effects(default("small", method), run("small", method=METHODS[method])) == set()


def test_every_option_has_a_row():
    parameters = list(inspect.signature(sg.tl.ggml).parameters)
    assert [name for name in parameters if name not in BESIDE] == ["adata", *TABLE]
    assert [field.name for field in fields(sg.tl.Canonical)] == list(OF_CANONICAL)
    assert [field.name for field in fields(sg.tl.Triplets)] == list(OF_TRIPLETS)
    assert {effect for _, _, option in cases() for part in option.changes.values() for effect in part} == set(EFFECTS)


def test_the_main_call_has_at_most_twenty_parameters():
    parameters = list(inspect.signature(sg.tl.ggml).parameters)
    assert set(parameters) >= BESIDE
    assert len(parameters) - len(BESIDE) <= 20
    of_methods = {field.name for kind in (sg.tl.Canonical, sg.tl.Triplets) for field in fields(kind)}
    assert not of_methods & set(parameters)


def tables() -> str:
    """The tables of docs/options.md."""
    lines = ["| it says | an option changes |", "|---|---|"]
    lines += [f"| {effect} | {words} |" for effect, words in EFFECTS.items()]
    for options, methods in ((TABLE, METHODS), (OF_CANONICAL, ["canonical"]), (OF_TRIPLETS, ["triplets", "paper"])):
        lines += ["", f"| option | {' | '.join(methods)} |", "|---" * (len(methods) + 1) + "|"]
        lines += [
            f"| `{name}` | {' | '.join(', '.join(option.changes[method]) for method in methods)} |"
            for name, option in options.items()
        ]
    return "\n".join(lines)


def test_the_page_has_the_table():
    page = PAGE.read_text(encoding="utf-8")
    for part in tables().split("\n\n"):
        assert part in page
