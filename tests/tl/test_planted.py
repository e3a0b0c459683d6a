"""The design of the paper with 199 features that mislead: the metric finds the one that does not."""

import anndata as ad
import pytest
from sklearn.neighbors import KNeighborsClassifier

import scggml as sg


@pytest.mark.parametrize("seed", range(5))
def test_the_signal_is_found_among_199_features_and_holds_for_new_samples(seed):
    learned, new = (sg.datasets.synthetic(n_cells=100, n_noise=199, rng=rng) for rng in (seed, 100 + seed))
    new.obs["sample_id"] = [f"new_{sample}" for sample in new.obs["sample_id"]]
    new.obs_names = [f"new_{cell}" for cell in new.obs_names]
    sg.tl.ggml(learned, "sample_id", "label", progress=False)
    importance = sg.get.metric(learned).gene_importance
    assert importance["signal"] >= 0.95 * importance.sum()

    sg.tl.project(new, learned)
    samples = sg.tl.distances(ad.concat([learned, new], uns_merge="first", merge="same"), progress=False)
    D, labels = samples.obsp["ggml_distances"], samples.obs["label"].astype(str).to_numpy()
    classifier = KNeighborsClassifier(5, metric="precomputed").fit(D[:30, :30], labels[:30])
    assert classifier.score(D[30:, :30], labels[30:]) == 1.0
