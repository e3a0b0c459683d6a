"""Names stand as they are: `$` in a name begins no formula and breaks no figure."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from _new import measured_again
from anndata import AnnData
from matplotlib.text import Text

import scggml as sg
from scggml.pl._output import FORMULAS, is_formula, literal

SERIAL = {"n_jobs": 1, "progress": False}
KEY = "a$b_$"
LABEL, TYPE, NUMBER = "lab$el$_", "ty$pe$^", "n$um_$"


@pytest.fixture(scope="module")
def everything() -> dict[str, AnnData]:
    """All that is drawn, with names that matplotlib cannot read as formulas."""
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(12) % 2, 10)
    X = rng.normal(size=(120, 8)) + 0.3 * np.repeat(rng.normal(size=(12, 8)), 10, axis=0)
    X[:, :2] += 2.0 * label[:, None]
    obs = pd.DataFrame({"sample": np.repeat([f"s$_${i}" for i in range(12)], 10)})
    obs[LABEL], obs[TYPE] = np.where(label, "il$l$_", "we$ll_{$"), np.where(np.arange(120) % 2, "T$_$", "B$^$")
    obs.index = [f"cell{i}" for i in range(120)]
    cells = AnnData(X, obs=obs, var=pd.DataFrame(index=[f"g$x_{{{i}$" for i in range(8)]))
    sg.tl.ggml(cells, "sample", LABEL, n_comps=2, key_added=KEY, progress=False)
    sg.tl.gene_stability(cells, 2, key=KEY, n_perm=19, **SERIAL)
    sg.tl.attribute(cells, key=KEY, cell_type_key=TYPE, progress=False)
    sg.tl.influence(cells, key=KEY, **SERIAL)
    sg.tl.cross_validate(cells, key=KEY, methods=[KEY, "majority"], n_splits=2, n_repeats=1, **SERIAL)
    sets = {"S$e_$": list(cells.var_names[:2]), "O$t^$": list(cells.var_names[5:])}
    sg.ext.enrich_gmt(cells, sets, key=KEY, min_size=1, all_results=True)
    samples = sg.tl.distances(cells, key=KEY, progress=False)
    samples.obs[NUMBER] = np.arange(12.0)
    sg.tl.mds(samples, key=KEY)
    sg.tl.covariates(samples, key=KEY, n_perm=19)
    sg.tl.trajectory(samples, key=KEY)
    plan = sg.tl.plan(cells, "s$_$0", "s$_$1", key=KEY)
    new = sg.tl.predict(measured_again(cells), cells, key=KEY, n_splits=2, n_repeats=1, **SERIAL)
    return {"cells": cells, "samples": samples, "plan": plan, "new": new}


PLOTS = {
    "loadings": lambda all_, **how: sg.pl.loadings(all_["cells"], key=KEY, **how),
    "volcano": lambda all_, **how: sg.pl.volcano(all_["cells"], key=KEY, alpha=0.9, **how),
    "gene_stability": lambda all_, **how: sg.pl.gene_stability(all_["cells"], key=KEY, **how),
    "attribution": lambda all_, **how: sg.pl.attribution(all_["cells"], key=KEY, **how),
    "influence": lambda all_, **how: sg.pl.influence(all_["cells"], key=KEY, **how),
    "cross_validation": lambda all_, **how: sg.pl.cross_validation(all_["cells"], **how),
    "calibration": lambda all_, **how: sg.pl.calibration(all_["cells"], **how),
    "confusion": lambda all_, **how: sg.pl.confusion(all_["cells"], **how),
    "enrichment": lambda all_, **how: sg.pl.enrichment(all_["cells"], key=KEY, max_p_adjusted=1, **how),
    "history": lambda all_, **how: sg.pl.history(all_["cells"], key=KEY, **how),
    "scores": lambda all_, **how: sg.pl.scores(all_["cells"], key=KEY, **how),
    "embedding": lambda all_, **how: sg.pl.embedding(all_["samples"], color=[LABEL, NUMBER], **how),
    "covariates": lambda all_, **how: sg.pl.covariates(all_["samples"], key=KEY, **how),
    "trajectory": lambda all_, **how: sg.pl.trajectory(all_["samples"], key=KEY, **how),
    "clustermap": lambda all_, **how: sg.pl.clustermap(all_["samples"], key=KEY, color=[LABEL, NUMBER], **how),
    "heatmap": lambda all_, **how: sg.pl.heatmap(
        all_["samples"], list(all_["samples"].var_names[:3]), color=[LABEL], **how
    ),
    "predictions": lambda all_, **how: sg.pl.predictions(all_["new"], **how),
    "plan": lambda all_, **how: sg.pl.plan(all_["plan"], TYPE, **how),
}


@pytest.mark.parametrize("name", PLOTS)
def test_names_with_dollars_are_saved_as_they_are(everything, name, tmp_path):
    PLOTS[name](everything, save=tmp_path / "figure.png", show=False)
    assert (tmp_path / "figure.png").stat().st_size > 0
    texts = [text for text in plt.gcf().findobj(Text) if "$" in text.get_text() and text.get_text() not in FORMULAS]
    assert not any(text.get_parse_math() for text in texts)
    assert texts or name in ("cross_validation", "history", "influence")  # which may have nothing to name
    plt.close("all")


def test_titles_of_the_user_may_hold_formulas(everything):
    for title, formula in ((r"$\alpha$ = 1", True), ("a$b_{$", False), ("plain", True)):
        ax = sg.pl.volcano(everything["cells"], key=KEY, title=title, show=False)
        assert (ax.title.get_text(), ax.title.get_parse_math()) == (title, formula)
        ax.figure.canvas.draw()
        plt.close("all")


def test_numbers_and_formulas_of_our_own_stay_formulas():
    figure, ax = plt.subplots()
    ax.set_yscale("log")
    ax.set_ylim(1, 1e6)
    ax.set_xlabel(FORMULAS[0])
    ax.set_title("a$b_{$")
    ax.set_xticks([0.2, 0.8], ["x$_$", "y"])
    literal(ax)
    figure.canvas.draw()
    assert ax.xaxis.label.get_parse_math()
    assert all(label.get_parse_math() for label in ax.get_yticklabels())
    assert not any(label.get_parse_math() for label in ax.get_xticklabels())
    assert not ax.title.get_parse_math()
    plt.close(figure)
    assert all(map(is_formula, FORMULAS))
