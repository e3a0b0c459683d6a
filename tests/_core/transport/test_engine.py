"""What compares the samples of a cohort, as their points say."""

from dataclasses import replace

import numpy as np
import pytest

from scggml._core.cohort import from_clouds
from scggml._core.transport.bures import Bures
from scggml._core.transport.engine import engine_of
from scggml._core.transport.exact import Exact
from scggml._core.transport.mixed import Mixed
from scggml._core.transport.sinkhorn import Sinkhorn


def test_points_gaussians_and_mixtures_have_an_engine_each():
    cells = from_clouds([np.zeros((2, 1)), np.ones((2, 1))])
    mixtures, solver = replace(cells, atoms=np.array([0, 1, 0, 0])), Exact()
    assert engine_of(cells, solver) is solver
    assert engine_of(replace(cells, gaussian=True), solver) == Bures()
    assert engine_of(mixtures, solver) == Mixed(solver)
    assert engine_of(mixtures, Mixed(solver)) == Mixed(solver)
    assert engine_of(mixtures, Sinkhorn()).traits.coupling == "rounded"
    with pytest.raises(ValueError, match="closed form, in which Sinkhorn has no part"):
        engine_of(replace(cells, gaussian=True), Sinkhorn())
