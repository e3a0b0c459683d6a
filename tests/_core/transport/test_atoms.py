"""The Gaussians of mixtures and what of them is compared, by a loop over pairs."""

from dataclasses import replace

import numpy as np
import pytest

from scggml._core.cohort import from_clouds
from scggml._core.transport.atoms import atoms_of


@pytest.fixture
def cohort():
    """Three samples of 2, 1 and 3 Gaussians of two points each; the first of sample 0 is the last of sample 2."""
    rng = np.random.default_rng(0)
    clouds = [rng.normal(size=(2 * n, 2)) for n in (2, 1, 3)]
    clouds[2][4:] = clouds[0][:2]
    found = from_clouds(clouds)
    return replace(found, atoms=np.array([0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 5, 5]))


def test_each_gaussian_is_a_sample_of_its_own(cohort):
    atoms = atoms_of(cohort)
    assert list(atoms.cohort.sizes) == [2] * 6
    np.testing.assert_allclose(atoms.cohort.weights, 0.5)
    np.testing.assert_allclose(atoms.mass, [0.5, 0.5, 1, *[1 / 3] * 3])
    assert list(atoms.begins) == [0, 2, 3, 6]
    assert atoms.same[0] == atoms.same[5]
    assert len(set(atoms.same)) == 5


def test_entries_are_those_of_a_loop(cohort):
    atoms = atoms_of(cohort)
    pairs = np.array([[0, 1], [1, 2], [0, 2], [2, 2]])
    entries = atoms.entries(pairs, np.arange(3))
    values = np.random.default_rng(1).normal(size=len(entries.compared))
    numbers = {tuple(each): value for each, value in zip(entries.compared, values, strict=True)}
    found, truth = entries.spread(values), []
    for p, q in pairs:
        for i in range(*atoms.begins[[p, p + 1]]):
            for j in range(*atoms.begins[[q, q + 1]]):
                one, other = (0 if s == 5 else s for s in (i, j))  # the same Gaussian
                truth.append(0.0 if one == other else numbers[min(one, other), max(one, other)])
    np.testing.assert_array_equal(found, truth)
    assert list(entries.edges) == [0, 2, 5, 11, 20]
    total = entries.gather(np.ones(20))
    assert total.sum() == (entries.place >= 0).sum() == 20 - 1 - 3  # without the shared one, and those of sample 2
    assert (entries.compared[:, 0] < entries.compared[:, 1]).all()


def test_a_gaussian_is_compared_where_it_is_known(cohort):
    """With samples 1 and 2 alone, the points of sample 0 are nowhere."""
    entries = atoms_of(cohort).entries(np.array([[1, 2]]), np.array([1, 2]))
    assert 0 not in entries.compared
    assert 5 in entries.compared


def test_points_that_are_no_gaussians_are_refused(cohort):
    with pytest.raises(ValueError, match="no mixtures of Gaussians"):
        atoms_of(replace(cohort, atoms=None))
