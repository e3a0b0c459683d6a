"""What is drawn along an order, by value."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scggml as sg
from scggml.pl._trajectory import trajectory_table

OPTIONS = {"n_genes": 20, "max_p_adjusted": 0.05, "layer": None}


def written(n: int = 6, *, types: bool = True, label: str = "label", **genes: list[float]) -> AnnData:
    """Samples with a trajectory: g0 rises along it and g1 falls, both significant; g2 is noise."""
    order = np.random.default_rng(0).permutation(n) / (n - 1)
    values = np.stack([order, -order, np.cos(40 * order)], axis=1)
    names = ["g0", "g1", "g2"]
    obs = pd.DataFrame(
        {"label": pd.Categorical(np.where(order > 0.5, "ill", "well"))}, index=[f"p{i}" for i in range(n)]
    )
    samples = AnnData(values, obs=obs, var=pd.DataFrame(index=names))
    samples.obs["ggml_held_out_pseudotime"] = order
    table = pd.DataFrame(
        {
            "gene": names,
            "rho": [1.0, -1.0, 0.1],
            "r2": [1.0, 0.9, 0.0],
            "p_adjusted": [0.001, 0.01, 0.8],
        }
    )
    entry = {
        "genes": table,
        "association": 0.9,
        "measure": "Spearman correlation",
        "p_value": 0.02,
        "seen": "held out",
        "params": {"label_key": label},
    }
    if types:
        shares = pd.DataFrame({"T": order / 2, "B": 1 - order / 2}, index=samples.obs_names)
        samples.obsm["ggml_held_out_cell_types"] = shares
        entry["cell_types"] = pd.DataFrame({"cell_type": ["T", "B"], "rho": [1.0, -1.0], "p_adjusted": [0.5, 0.01]})
    samples.uns["ggml_held_out_trajectory"] = entry
    return samples


def test_rows_are_standardized_and_stand_by_their_correlation():
    samples = written()
    table = trajectory_table(samples, "ggml_held_out", None, **OPTIONS)
    assert list(table.index) == ["g1", "g0", "B", "T"]
    assert list(table["kind"]) == ["gene", "gene", "cell type", "cell type"]
    assert list(table["significant"]) == [True, True, True, False]
    steps = np.arange(6) - 2.5
    np.testing.assert_allclose(table.loc["g0"].iloc[:6].astype(float), steps / steps.std(), atol=1e-12)
    np.testing.assert_allclose(table.loc["T"].iloc[:6].astype(float), steps / steps.std(), atol=1e-12)


def test_many_samples_are_drawn_as_means_of_neighbors():
    samples = written(200, types=False)
    rows = trajectory_table(samples, "ggml_held_out", ["g0", "g2"], **OPTIONS).drop(columns=["kind", "significant"])
    raw = pd.Series(np.cos(40 * np.sort(samples.obs["ggml_held_out_pseudotime"].to_numpy())))
    smooth = raw.rolling(5, center=True, min_periods=1).mean()
    truth = (smooth - smooth.mean()) / smooth.std(ddof=0)
    np.testing.assert_allclose(rows.loc["g2"].astype(float), truth, atol=1e-9)


def test_where_no_gene_is_significant_the_strongest_are_drawn_in_gray():
    samples = written(types=False)
    samples.uns["ggml_held_out_trajectory"]["genes"]["p_adjusted"] = 0.5
    ax = sg.pl.trajectory(samples)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["g1", "g2", "g0", "ill", "well"]
    assert {text.get_color() for text in ax.get_yticklabels()[:3]} == {"#A0A0A0"}


def test_samples_stand_at_their_place_by_their_label():
    samples = written()
    ax = sg.pl.trajectory(samples)
    points = ax.collections[0].get_offsets()
    place = np.round(samples.obs["ggml_held_out_pseudotime"].to_numpy() * 5)
    np.testing.assert_allclose(points[:, 0], place)
    heights = dict(zip([text.get_text() for text in ax.get_yticklabels()], ax.get_yticks(), strict=True))
    level = samples.obs["label"].map(heights).to_numpy(dtype=float)
    assert np.abs(points[:, 1] - level).max() < 0.4 * abs(heights["ill"] - heights["well"])
    assert heights["well"] < heights["ill"] < -1  # above the rows
    assert [text.get_text() for text in ax.texts] == ["label: Spearman correlation 0.90, p = 0.02", "held-out donors"]


def test_without_a_label_samples_stand_by_their_pseudotime():
    samples = written()
    del samples.uns["ggml_held_out_trajectory"]["params"]["label_key"]
    samples.uns["ggml_held_out_trajectory"]["association"] = np.nan
    ax = sg.pl.trajectory(samples)
    order = samples.obs["ggml_held_out_pseudotime"].to_numpy()
    heights = ax.collections[0].get_offsets()[:, 1]
    low, high = ax.get_yticks()[-2:]
    np.testing.assert_allclose(heights, low + (high - low) * order)
    assert [text.get_text() for text in ax.get_yticklabels()][-2:] == ["0", "pseudotime 1"]
    assert [text.get_text() for text in ax.texts] == ["", "held-out donors"]


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"genes": ["g9"]}, KeyError, "'g9' are not in the trajectory of 3 genes"),
        ({"genes": []}, ValueError, "pass at least one gene"),
        ({"genes": "g0"}, TypeError, "genes='g0' is one text; pass a list of names"),
        ({"genes": 3}, TypeError, "genes=3 is a int; pass a list of names"),
        ({"max_p_adjusted": 2}, ValueError, "max_p_adjusted=2"),
        ({"max_p_adjusted": -0.1}, ValueError, "max_p_adjusted=-0.1"),
        ({"max_p_adjusted": "few"}, TypeError, "max_p_adjusted='few'"),
        ({"n_genes": 0}, ValueError, "n_genes=0"),
        ({"color": "sex"}, KeyError, "'sex'"),
        ({"key": "other"}, KeyError, "sg.tl.trajectory"),
    ],
)
def test_bad_arguments_are_named(options, error, says):
    with pytest.raises(error, match=says):
        sg.pl.trajectory(written(), **options)
