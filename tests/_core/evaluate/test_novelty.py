import numpy as np

from scggml._core.evaluate.novelty import novelty


def test_novelty_is_a_robust_z_score_of_log_distances():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, 3))
    known = np.linalg.norm(points[:, None] - points[None], axis=2)
    new = np.linalg.norm(np.array([[0.0, 0, 0], [50.0, 0, 0]])[:, None] - points[None], axis=2)
    found = novelty(new, known, np.arange(40), 3)
    assert found[0] < 2
    assert found[1] > 5
    np.testing.assert_allclose(novelty(7 * new, 7 * known, np.arange(40), 3), found)
