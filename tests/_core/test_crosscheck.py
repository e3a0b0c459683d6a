"""Parity with the numbers of another implementation (float32), which are kept outside the repository."""

from dataclasses import replace

import numpy as np
import pytest
from _oracles import relative_error, triplets

from scggml._core.cohort import Cohort, from_clouds
from scggml._core.learn.choice import summarize
from scggml._core.learn.objective import Objective
from scggml._core.learn.penalty import penalize
from scggml._core.learn.triplets import Triplets
from scggml._core.transport.exact import Exact
from scggml._core.transport.groups import Groups, present
from scggml._core.transport.pairs import all_pairs, solve_distances, square
from scggml._core.transport.plans import GROUND_COSTS

pytestmark = pytest.mark.real

RTOL = 1e-6


def load(data_dir, name):
    path = data_dir.parent / "crosscheck" / name
    if not path.is_file():
        pytest.skip(f"no numbers to compare with: {path}")
    with np.load(path, allow_pickle=False) as numbers:
        return dict(numbers)


@pytest.fixture(scope="module")
def matrices(data_dir):
    return load(data_dir, "1_ot_matrix.npz")


@pytest.fixture(scope="module")
def losses(data_dir):
    return load(data_dir, "2_loss_grad.npz")


def agree(found, truth):
    assert truth.max() > 0
    np.testing.assert_allclose(found, truth, rtol=RTOL, atol=RTOL * truth.max())


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("name", ["W_id", "W_k2", "W_k6", "W_k8"])
def test_distances_under_a_metric(matrices, name, squared):
    cohort = from_clouds(list(matrices["supports"]))
    D = Objective(1.0, squared=squared).distances(cohort, matrices[name].astype(np.float64))
    agree(D, matrices[f"D_emd_{name}_{'sq' if squared else 'lin'}"])


@pytest.mark.parametrize("cost", GROUND_COSTS)
def test_distances_under_a_fixed_ground_cost(matrices, cost):
    cohort = from_clouds(list(matrices["supports"]))
    pairs = all_pairs(cohort.n_samples)
    values = solve_distances(cohort, cohort.points, pairs, cost, solver=Exact())
    agree(square(values, pairs, cohort.n_samples), matrices[f"D_emd_{cost}"])


def test_distances_of_histograms_on_shared_supports(matrices):
    support, weights = matrices["shared_supports"], matrices["shared_weights"].astype(np.float64)
    n_samples, n_bins = weights.shape
    cohort = Cohort(
        points=np.tile(support, (n_samples, 1)),
        weights=(weights / weights.sum(axis=1, keepdims=True)).ravel(),
        offsets=np.arange(n_samples + 1) * n_bins,
        labels=np.zeros(n_samples, dtype=np.int64),
        names=np.arange(n_samples).astype(str),
        classes=np.array(["0"]),
    )
    W = matrices["W_k2"].astype(np.float64)
    agree(Objective(1.0, squared=False).distances(cohort, W), matrices["D_shared_W_k2"])


def test_distances_of_samples_summarized_by_groups_of_equal_cells(matrices):
    """Three cells at each support, which are a group; their weights add up to the one of the histogram."""
    support, histograms = matrices["shared_supports"], matrices["shared_weights"].astype(np.float64)
    cells = from_clouds([np.repeat(support, 3, axis=0)] * len(histograms))
    parts = np.random.default_rng(0).dirichlet(np.ones(3), histograms.shape)
    cells = replace(cells, weights=(histograms[..., None] * parts).reshape(-1))
    groups, summary = np.tile(np.repeat(np.arange(len(support)), 3), len(histograms)), Groups("type")
    cohort = summarize(cells, summary, np.random.default_rng(0), groups=groups)
    codes = [present(groups[own], cells.weights[own]) for own in cells.spans(np.arange(cells.n_samples))]
    shared = summary.share(cohort, np.concatenate(codes))
    agree(Objective(1.0, squared=False).distances(shared, matrices["W_k2"]), matrices["D_shared_W_k2"])


@pytest.mark.parametrize("margin", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("solver", ["emd", "emdsq"])
@pytest.mark.parametrize("tag", ["bin", "tri", "imb"])
def test_loss_and_gradient_of_all_triplets(losses, tag, solver, margin):
    cohort = from_clouds(list(losses[f"{tag}_supports"]), losses[f"{tag}_labels"])
    W = losses[f"{tag}_W"].astype(np.float64)
    found = Objective(margin, squared=solver == "emdsq").evaluate(cohort, W)
    key = f"{tag}_{solver}_alpha{margin}"
    assert found.value == pytest.approx(float(losses[f"{key}_loss"]), rel=RTOL)
    assert relative_error(found.gradient, losses[f"{key}_grad"]) < RTOL


@pytest.mark.parametrize("tag", ["bin", "tri", "imb"])
def test_the_triplets_are_theirs(losses, tag):
    ours = triplets(losses[f"{tag}_labels"], "all")
    assert len(ours) == len(losses[f"{tag}_triplets"])
    assert set(ours) == set(map(tuple, losses[f"{tag}_triplets"].tolist()))


@pytest.mark.parametrize("reg", ["0.001", "0.1", "1.0"])
@pytest.mark.parametrize(("theirs", "ours"), [("1", "l1"), ("fro", "fro"), ("nuc", "nuc")])
def test_penalties(losses, theirs, ours, reg):
    value, gradient = penalize(losses["bin_W"].astype(np.float64), ours)
    assert float(reg) * value == pytest.approx(float(losses[f"reg_{theirs}_{reg}_val"]), rel=RTOL)
    assert relative_error(float(reg) * gradient, losses[f"reg_{theirs}_{reg}_grad"]) < RTOL


def test_the_recipe_of_the_package_has_its_objective(losses):
    cohort = from_clouds(list(losses["bin_supports"]), losses["bin_labels"])
    W = losses["bin_W"].astype(np.float64)
    found = Triplets.ggml_ot().objective().evaluate(cohort, W)
    value = losses["bin_emd_alpha1.0_loss"] + losses["reg_fro_0.001_val"]
    assert found.value == pytest.approx(float(value), rel=RTOL)
    assert relative_error(found.gradient, losses["bin_emd_alpha1.0_grad"] + losses["reg_fro_0.001_grad"]) < RTOL
