from typing import get_args

import numpy as np
import pytest
from _oracles import finite_differences, relative_error, torch_penalty

from scggml._core.learn.penalty import PenaltyName, penalize

PENALTIES = get_args(PenaltyName)
W = np.random.default_rng(0).standard_normal((3, 5))


@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_gradient_is_the_slope_of_the_value(penalty):
    value, gradient = penalize(W, penalty)
    assert isinstance(value, float)
    slopes = finite_differences(lambda V: penalize(V, penalty)[0], W)
    assert relative_error(gradient, slopes) < 1e-8


@pytest.mark.parametrize("penalty", PENALTIES)
def test_value_and_gradient_are_those_of_torch(penalty):
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(W, requires_grad=True)
    norm = torch_penalty(tensor, penalty)
    norm.backward()
    value, gradient = penalize(W, penalty)
    assert value == pytest.approx(norm.item(), rel=1e-14)
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), atol=1e-14)


def test_values_by_hand():
    V = np.array([[3.0, 0.0, 0.0], [-4.0, 0.0, 2.0]])
    assert penalize(V, "fro")[0] == pytest.approx(np.sqrt(29))
    assert penalize(V, "l1")[0] == pytest.approx(9)
    assert penalize(V, "l21")[0] == pytest.approx(5 + 0 + 2)
    assert penalize(np.diag([3.0, -4.0]), "nuc")[0] == pytest.approx(7)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_norms_are_homogeneous(penalty):
    """The gradient of a norm does not depend on scale, and its inner product with W is the norm."""
    value, gradient = penalize(W, penalty)
    doubled, same = penalize(-2 * W, penalty)
    assert doubled == pytest.approx(2 * value)
    np.testing.assert_allclose(same, -gradient, atol=1e-14)
    assert (gradient * W).sum() == pytest.approx(value)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_at_zero_value_and_subgradient_are_zero(penalty):
    value, gradient = penalize(np.zeros((2, 3)), penalty)
    assert value == 0.0
    np.testing.assert_array_equal(gradient, np.zeros((2, 3)))


def test_the_kink_of_an_entry_has_slope_zero():
    np.testing.assert_array_equal(penalize(np.array([[1.5, 0.0, -0.2]]), "l1")[1], [[1.0, 0.0, -1.0]])


def test_a_feature_that_is_off_stays_off():
    V = W.copy()
    V[:, 2] = 0.0
    gradient = penalize(V, "l21")[1]
    np.testing.assert_array_equal(gradient[:, 2], 0.0)
    np.testing.assert_allclose(np.linalg.norm(gradient, axis=0), [1, 1, 0, 1, 1])


@pytest.mark.parametrize("rank", [1, 2])
def test_the_nuclear_subgradient_stays_within_the_rank(rank):
    rng = np.random.default_rng(1)
    left, right = rng.standard_normal((4, rank)), rng.standard_normal((rank, 6))
    V = 10 * left @ right
    value, gradient = penalize(V, "nuc")
    singular_values = np.linalg.svd(gradient, compute_uv=False)
    np.testing.assert_allclose(singular_values, [1.0] * rank + [0.0] * (4 - rank), atol=1e-12)
    # slopes along changes that keep the rank, where the norm is smooth
    for change in (rng.standard_normal((4, rank)) @ right, left @ rng.standard_normal((rank, 6))):
        slope = (penalize(V + 1e-6 * change, "nuc")[0] - penalize(V - 1e-6 * change, "nuc")[0]) / 2e-6
        assert (gradient * change).sum() == pytest.approx(slope, rel=1e-6)
    assert (gradient * V).sum() == pytest.approx(value)
    # a subgradient: the norm lies above its tangent everywhere
    for _ in range(20):
        other = V + rng.standard_normal(V.shape)
        assert penalize(other, "nuc")[0] >= value + (gradient * (other - V)).sum() - 1e-9


@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_penalty_leaves_its_argument_alone(penalty):
    V = W.copy()
    penalize(V, penalty)[1][:] = 7.0
    np.testing.assert_array_equal(V, W)
