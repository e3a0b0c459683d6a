"""Sweeps without costs in memory: the tiles in torch against held costs, and the kernel against the tiles."""

import os

import numpy as np
import pytest
from _oracles import random_cohort

from scggml._core.transport.batches import batch_of
from scggml._core.transport.dense import DenseBlock, Terms
from scggml._core.transport.devices import Place, place_of
from scggml._core.transport.fused import FusedBlock
from scggml._core.transport.pairs import all_pairs, solve_distances
from scggml._core.transport.scaling import optimal_potentials
from scggml._core.transport.sinkhorn import Sinkhorn
from scggml._core.transport.sinkhorn_kernel import has_triton, sweep_fused
from scggml._core.transport.sweeps import Mode, sweep_in_tiles
from scggml._core.transport.typical import relative

torch = pytest.importorskip("torch")

# More than one tile, and tiles that are not full.
COHORT = random_cohort((66, 70, 1, 20), d=3, weighted=True)
COHORT.weights[3] = 0.0
COHORT.weights[:66] /= COHORT.weights[:66].sum()
PAIRS = all_pairs(4)
KERNEL = pytest.mark.skipif(
    not has_triton() or not (torch.cuda.is_available() or os.environ.get("TRITON_INTERPRET") == "1"),
    reason="Triton needs a GPU, or TRITON_INTERPRET=1",
)


def batch(kind, place):
    return batch_of(COHORT, relative(COHORT.points, kind, 2.0), PAIRS, place)


@pytest.mark.parametrize("rho", [np.inf, 0.5])
@pytest.mark.parametrize("kind", ["euclidean", "sqeuclidean"])
def test_tiles_give_the_numbers_of_held_costs(kind, rho):
    place = place_of("cpu")
    pairs = batch(kind, place)
    blocks = DenseBlock(pairs, place, kind), FusedBlock(pairs, place, kind, sweep_in_tiles)
    terms, slopes = Terms(0.2, rho), place.tensor(np.arange(1.0, 7.0))
    found = []
    for block in blocks:
        f, g, error = optimal_potentials(block, *block.nothing(), terms, tol=1e-6, max_iter=3000, warm=False)
        assert (error <= 1e-6).all()
        totals = block.totals(f, g, terms)
        found.append((totals.value, totals.regularized, *block.pulls(f, g, 0.2, slopes, kind)))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@KERNEL
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("mode", ["logsumexp", "sums", "pulls", "costs"])
def test_the_kernel_gives_the_numbers_of_the_tiles(mode: Mode, squared):
    name = "cuda" if torch.cuda.is_available() else "cpu"
    place = Place(torch, name, torch.float32, 2**20)
    pairs = batch("sqeuclidean" if squared else "euclidean", place)
    rng = np.random.default_rng(0)
    rows, columns = (log + place.tensor(rng.standard_normal(log.shape)) for log in (pairs.log_a, pairs.log_b))
    if mode == "costs":
        rows, columns = pairs.a, pairs.b
    found, truth = (
        sweep(pairs.x, pairs.y, rows, columns, 0.3, squared=squared, mode=mode).cpu()
        for sweep in (sweep_fused, sweep_in_tiles)
    )
    there = (pairs.a > 0).cpu()
    np.testing.assert_allclose(found[there], truth[there], rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
@pytest.mark.parametrize("cost", ["euclidean", "sqeuclidean", "cityblock"])
def test_a_gpu_gives_the_numbers_of_the_cpu(cost):
    slopes = np.arange(1.0, 7.0)
    here, there = (Sinkhorn(device=name).transport(COHORT, n_jobs=1) for name in ("cpu", "cuda"))
    values = [each.solve(COHORT.points, PAIRS, cost) for each in (here, there)]
    np.testing.assert_allclose(*values, rtol=1e-3)
    if cost != "cityblock":
        one, other = here.gradient(slopes), there.gradient(slopes)
        np.testing.assert_allclose(other, one, atol=1e-2 * np.abs(one).max())
    found = solve_distances(COHORT, COHORT.points, PAIRS, cost, solver=Sinkhorn(device="cuda"), n_jobs=2)
    np.testing.assert_allclose(found, values[1], rtol=1e-3)
