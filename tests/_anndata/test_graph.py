import numpy as np
import scanpy as sc
from anndata import AnnData
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr

from scggml._anndata.graph import Nearest, diffusion, pseudotime, write_neighbors


def test_the_nearest_samples_come_with_their_distances_and_the_sample_itself_first():
    D = np.array([[0.0, 0.0, 2.0, 5.0], [0.0, 0.0, 3.0, 4.0], [2.0, 3.0, 0.0, 1.0], [5.0, 4.0, 1.0, 0.0]])
    found = Nearest(3).fit_transform(D)
    assert found.indices.reshape(4, 3).tolist() == [[0, 1, 2], [1, 0, 2], [2, 3, 0], [3, 2, 1]]
    assert found.data.reshape(4, 3).tolist() == [[0, 0, 2], [0, 0, 3], [0, 1, 2], [0, 1, 4]]
    others = Nearest(3).others(D)
    assert others.indices.reshape(4, 2).tolist() == [[1, 2], [0, 2], [3, 0], [2, 1]]
    assert others.data.reshape(4, 2).tolist() == [[0, 2], [0, 3], [1, 2], [1, 4]]
    assert Nearest(3).get_params() == {"n_neighbors": 3}


def test_the_graph_is_in_the_slots_that_scanpy_reads():
    points = np.random.default_rng(0).normal(size=(12, 2))
    samples = AnnData(points)
    write_neighbors(samples, "tumor", cdist(points, points), 5, 7)
    assert set(samples.obsp) == {"connectivities", "distances"}
    params = samples.uns["neighbors"]["params"]
    assert (params["distances"], params["use_rep"], params["random_state"]) == ("tumor_distances", "X", 7)
    sc.tl.leiden(samples, flavor="igraph", n_iterations=2)
    assert samples.obs["leiden"].notna().all()


def test_pseudotime_follows_a_line_from_its_root():
    line = np.sort(np.random.default_rng(0).uniform(0, 10, 40))[:, None]
    D = cdist(line, line)
    for root, rising in ((0, True), (39, False)):
        found = pseudotime(diffusion(D, 10, 0), root)
        assert found[root] == 0.0
        assert found.max() == 1.0
        assert abs(spearmanr(found, line[:, 0]).statistic - (1.0 if rising else -1.0)) < 0.02


def test_neighborhoods_grow_until_the_graph_is_in_one_piece():
    points = np.concatenate([np.random.default_rng(0).normal(size=(10, 2)) + shift for shift in (0.0, 8.0)])
    graph = diffusion(cdist(points, points), 3, 0)
    assert connected_components(graph.obsp["connectivities"])[0] == 1
    assert np.isfinite(pseudotime(graph, 0)).all()
