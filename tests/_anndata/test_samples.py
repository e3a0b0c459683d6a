import numpy as np
import pytest
from anndata import AnnData

from scggml._anndata.samples import read_distances


def test_distances_are_read_from_the_slot_of_their_key():
    samples = AnnData(np.zeros((3, 1)))
    D = np.arange(9, dtype=np.float32).reshape(3, 3)
    samples.obsp["ggml_distances"], samples.obsp["cosine_distances"] = D, 2 * D
    np.testing.assert_array_equal(read_distances(samples, "ggml"), D)
    np.testing.assert_array_equal(read_distances(samples, "cosine"), 2 * D)
    assert read_distances(samples, "ggml").dtype == np.float64


def test_missing_distances_are_answered_with_those_that_are_there():
    samples = AnnData(np.zeros((3, 1)))
    samples.obsp["cosine_distances"] = samples.obsp["tumor_distances"] = samples.obsp["connectivities"] = np.eye(3)
    message = r"No 'ggml_distances' in samples.obsp; distances are stored for 'cosine', 'tumor'\. Pass one .* key"
    with pytest.raises(KeyError, match=message):
        read_distances(samples, "ggml")


def test_without_any_distances_the_next_step_is_named():
    message = (
        r"'ggml_distances' .* no distances are stored\. Compute them with samples = sg\.tl\.distances\(adata\) and"
    )
    with pytest.raises(KeyError, match=message):
        read_distances(AnnData(np.zeros((3, 1))), "ggml")


def test_the_graph_of_neighbors_is_not_listed_as_distances():
    # scanpy calls its sparse graph "distances"; no key leads there
    samples = AnnData(np.zeros((3, 1)))
    samples.obsp["distances"] = np.eye(3)
    with pytest.raises(KeyError, match="no distances are stored"):
        read_distances(samples, "ggml")
