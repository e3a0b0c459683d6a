"""Genes x samples: what is drawn is what the samples hold, in an order that can be read."""

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from matplotlib.colors import to_hex

import scggml as sg
from scggml.pl._heatmap import heatmap_table


@pytest.fixture
def samples():
    """Eight samples of two groups, five genes."""
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "label": pd.Categorical(["b", "a"] * 4),
            "age": np.arange(8.0),
            "site": pd.Categorical(["x", "y", "z", "x"] * 2),
        },
        index=[f"s{i}" for i in range(8)],
    )
    adata = AnnData(rng.normal(size=(8, 5)), obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(5)]))
    adata.layers["fraction"] = rng.uniform(size=(8, 5))
    return adata


def drawn(ax):
    return np.asarray(ax.images[0].get_array())


def test_genes_are_standardized_and_samples_are_sorted_by_group(samples):
    ax = sg.pl.heatmap(samples, ["g3", "g0"], color="label")
    names = [tick.get_text() for tick in ax.get_xticklabels()]
    assert samples.obs.loc[names, "label"].tolist() == ["a"] * 4 + ["b"] * 4
    X = samples[names, ["g3", "g0"]].X.T
    truth = (X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)
    np.testing.assert_allclose(drawn(ax), truth)
    assert ax.images[0].get_clim() == (-2.5, 2.5)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["label", "g3", "g0"]


def test_a_layer_is_drawn_as_it_is(samples):
    ax = sg.pl.heatmap(samples, ["g1"], layer="fraction", standardize=False, color="age")
    np.testing.assert_allclose(drawn(ax)[0], samples[:, "g1"].layers["fraction"].ravel())  # sorted by age
    samples.layers["sparse"] = samples.layers["fraction"]
    assert ax.figure.axes[-1].get_ylabel() == "fraction"


def test_alike_samples_are_neighbors(samples):
    X = np.repeat(np.array([[0.0, 0], [9, 9]]), 4, axis=0)[[0, 4, 1, 5, 2, 6, 3, 7]]
    samples = samples[:, :2].copy()
    samples.X = X
    table = heatmap_table(samples, ["g0", "g1"], [], layer=None, standardize=True)
    assert (np.diff(table.loc["g0"]) != 0).sum() == 1


def test_a_gene_that_never_varies_is_0(samples):
    samples.X[:, 2] = 3.0
    assert (drawn(sg.pl.heatmap(samples, ["g2", "g1"]))[0] == 0).all()


def test_strips_have_the_colors_of_their_columns_and_one_legend(samples, overlaps):
    samples.uns["label_colors"] = np.array(["#112233", "#445566"], dtype=object)
    ax = sg.pl.heatmap(samples, list(samples.var_names), color=["label", "site", "age"])
    strips = [np.asarray(image.get_array())[0] for image in ax.images[1:]]
    assert [tick.get_text() for tick in ax.get_yticklabels()][:3] == ["label", "site", "age"]
    assert [to_hex(color) for color in strips[0]] == ["#112233"] * 4 + ["#445566"] * 4
    site = {to_hex(color) for color in strips[1]}
    assert len(site) == 3
    assert not site & {"#0072b2", "#d55e00"}  # those of the first column are taken
    legend = ax.get_legend()
    words = [text.get_text() for text in legend.get_texts()]
    assert words == ["label", "a", "b", "site", "x", "y", "z", "age", "0", "7"]
    bar = ax.figure.axes[-1]
    assert overlaps(ax.figure, bar, legend) == []


def test_many_samples_fit_a_page_without_names():
    rng = np.random.default_rng(0)
    many = AnnData(rng.normal(size=(300, 3)), var=pd.DataFrame(index=["g0", "g1", "g2"]))
    ax = sg.pl.heatmap(many, ["g0", "g2"])
    assert ax.figure.get_size_inches()[0] < 10
    assert [tick.get_text() for tick in ax.get_xticklabels()] == []


def test_what_is_missing_is_named(samples):
    with pytest.raises(KeyError, match="1 of 2 genes are not in samples"):
        sg.pl.heatmap(samples, ["g0", "nothing"])
    with pytest.raises(ValueError, match="at least one gene, each once"):
        sg.pl.heatmap(samples, ["g0", "g0"])
    with pytest.raises(ValueError, match="at least one gene"):
        sg.pl.heatmap(samples, [])
    with pytest.raises(KeyError, match="layer='counts'"):
        sg.pl.heatmap(samples, ["g0"], layer="counts")
    with pytest.raises(KeyError, match="color='stage'"):
        sg.pl.heatmap(samples, ["g0"], color=["label", "stage"])


@pytest.mark.parametrize(
    "options", [{"genes": "g0"}, {"genes": 3}, {"genes": None}, {"color": 3}, {"color": [1]}, {"standardize": "no"}]
)
def test_wrong_kinds_are_refused(samples, options):
    with pytest.raises(TypeError, match=r"pass (a list of names|the name of a column)|must be True or False"):
        sg.pl.heatmap(samples, **({"genes": ["g0"]} | options))


def test_samples_of_a_metric_say_that_genes_were_chosen_on_them(samples):
    assert list(sg.pl.heatmap(samples, ["g0"]).texts) == []
    samples.obsp["ggml_distances"] = np.zeros((8, 8))
    samples.uns["ggml_distances"] = {"seen": "training"}
    (note,) = sg.pl.heatmap(samples, ["g0"]).texts
    assert "training samples" in note.get_text()
    samples.uns["ggml_distances"] = {"seen": "other"}
    assert list(sg.pl.heatmap(samples, ["g0"]).texts) == []


def test_missing_numbers_have_a_color_of_their_own(samples):
    samples.obs["age"] = [np.nan, *range(7)]
    ax = sg.pl.heatmap(samples, ["g0"], color=["label", "age"])
    assert [text.get_text() for text in ax.get_legend().get_texts()][-4:] == ["age", "0", "6", "missing"]
    samples.obs["age"] = np.nan
    ax = sg.pl.heatmap(samples, ["g0"], color=["age"])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["age", "missing"]


def test_only_genes_that_are_asked_for_need_one_name(samples):
    samples.var_names = ["g0", "g1", "g1", "g3", "g4"]
    np.testing.assert_array_equal(drawn(sg.pl.heatmap(samples, ["g0"], standardize=False))[0].size, 8)
    with pytest.raises(ValueError, match=r"several genes of the name 'g1'.*var_names_make_unique"):
        sg.pl.heatmap(samples, ["g1"])


@pytest.mark.parametrize("n_genes", [2, 25])
def test_long_names_take_no_room_of_the_matrix(n_genes, overlaps):
    """Forty letters of each class, gene and sample: names of samples stay apart, and nothing is cut."""
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {"label": pd.Categorical([f"a class of forty letters in its name nr {i % 10:02d}" for i in range(30)])},
        index=[f"patient_with_a_name_of_forty_letters_nr{i}" for i in range(30)],
    )
    genes = [f"a_gene_with_a_name_of_forty_letters__{i:03d}" for i in range(n_genes)]
    samples = AnnData(rng.normal(size=(30, n_genes)), obs=obs, var=pd.DataFrame(index=genes))
    ax = sg.pl.heatmap(samples, genes, color="label")
    ax.figure.canvas.draw()
    ticks = [tick for tick in ax.get_xticklabels() if tick.get_text()]
    assert len(ticks) == 30
    assert overlaps(ax.figure, *ticks) == []
    assert overlaps(ax.figure, ax.get_legend(), ax.figure.axes[-1]) == []
    assert ax.get_window_extent().height / ax.figure.dpi > 0.12 * n_genes
    whole = ax.figure.bbox
    for part in (*ticks, *ax.get_yticklabels(), ax.get_legend()):
        box = part.get_window_extent()
        assert whole.x0 <= box.x0
        assert box.x1 <= whole.x1
        assert whole.y0 <= box.y0


# Groups of samples


def test_groups_are_the_means_of_their_samples(samples):
    samples.obs["label"] = (
        samples.obs["label"].cat.add_categories("unused").cat.reorder_categories(["b", "unused", "a"])
    )
    samples.uns["label_colors"] = np.array(["#112233", "#000000", "#445566"], dtype=object)
    ax = sg.pl.heatmap(samples, ["g3", "g0"], groupby="label")
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["b", "a"]
    X = samples[:, ["g3", "g0"]].X.T
    z = (X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)
    truth = np.stack([z[:, ::2].mean(axis=1), z[:, 1::2].mean(axis=1)], axis=1)
    np.testing.assert_allclose(drawn(ax), truth)
    assert ax.images[0].get_clim() == (-np.abs(truth).max(), np.abs(truth).max())
    assert [to_hex(color) for color in np.asarray(ax.images[1].get_array())[0]] == ["#112233", "#445566"]
    assert ax.get_legend() is None  # names stand below
    plain = sg.pl.heatmap(samples, ["g3", "g0"], groupby="label", standardize=False)
    np.testing.assert_allclose(drawn(plain), np.stack([X[:, ::2].mean(axis=1), X[:, 1::2].mean(axis=1)], axis=1))


def test_groups_of_several_columns_are_the_combinations_that_exist(samples):
    samples.obs["site"] = pd.Categorical(["x", "y", None, "x", "x", "y", "z", "x"])
    ax = sg.pl.heatmap(samples, ["g1"], groupby=["site", "label"], standardize=False)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["x, a", "x, b", "y, a", "z, b"]
    X = samples[:, "g1"].X.ravel()
    np.testing.assert_allclose(drawn(ax)[0], [X[[3, 7]].mean(), X[[0, 4]].mean(), X[[1, 5]].mean(), X[6]])
    site, label = ([to_hex(color) for color in np.asarray(image.get_array())[0]] for image in ax.images[1:])
    assert site[0] == site[1]
    assert len(set(site)) == 3
    assert label[0] == label[2] != label[1] == label[3]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["site", "label", "g1"]


def test_cell_types_of_samples_are_drawn_as_scanpy_aggregates_them():
    adata = sg.datasets.synthetic_counts(n_samples=2, n_cells=30, n_genes=20, n_planted=4)
    pairs = sc.get.aggregate(adata, ["sample_id", "cell_type"], "mean")
    pairs.obs["label"] = adata.obs.drop_duplicates("sample_id").set_index("sample_id").loc[
        pairs.obs["sample_id"].astype(str), "label"
    ].to_numpy()  # fmt: skip
    genes = list(adata.var_names[:3])
    ax = sg.pl.heatmap(pairs, genes, groupby=["cell_type", "label"], layer="mean", standardize=False)
    groups = pairs.obs.groupby(["cell_type", "label"], observed=True).indices
    truth = [pairs[rows, genes].layers["mean"].mean(axis=0) for rows in groups.values()]
    np.testing.assert_allclose(drawn(ax), np.transpose(truth))
    assert [tick.get_text() for tick in ax.get_xticklabels()] == [", ".join(map(str, names)) for names in groups]
    with pytest.raises(ValueError, match=r"samples\.X is empty; .*'mean'"):
        sg.pl.heatmap(pairs, genes, groupby="cell_type")


def test_columns_of_groups_have_one_value_in_each(samples):
    samples.obs["arm"] = samples.obs["label"].map({"a": "late", "b": "early"}).astype("category")
    ax = sg.pl.heatmap(samples, ["g0"], groupby="label", color=["arm", "label"])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["arm", "late", "early"]
    with pytest.raises(ValueError, match=r"color='site' has several values in 2 of the groups of groupby=\['label'\]"):
        sg.pl.heatmap(samples, ["g0"], groupby="label", color="site")
    with pytest.raises(KeyError, match="groupby='stage' is not a column"):
        sg.pl.heatmap(samples, ["g0"], groupby="stage")
    with pytest.raises(TypeError, match="groupby=3 is a int"):
        sg.pl.heatmap(samples, ["g0"], groupby=3)
    samples.obs["label"] = np.nan
    with pytest.raises(ValueError, match="No sample has a value"):
        sg.pl.heatmap(samples, ["g0"], groupby="label")


def test_of_many_combinations_the_groups_of_the_first_column_are_named():
    rng = np.random.default_rng(0)
    types = [f"type {i:02d}" for i in range(40)]
    obs = pd.DataFrame({"type": np.repeat(types, 2), "label": ["a", "b"] * 40}, index=[f"r{i}" for i in range(80)])
    obs = obs.astype("category")[:-1]
    many = AnnData(rng.normal(size=(79, 2)), obs=obs, var=pd.DataFrame(index=["g0", "g1"]))
    ax = sg.pl.heatmap(many, ["g0", "g1"], groupby=["type", "label"])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == types
    np.testing.assert_allclose(ax.get_xticks(), [*np.arange(39) * 2 + 0.5, 78])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["label", "a", "b"]
