import numpy as np
import pytest

from scggml._core.learn.adam import Adam


def test_the_first_step_has_the_length_of_the_learning_rate_in_each_entry():
    W = np.array([[1.0, -2.0, 3.0]])
    moved = Adam(0.1).update(W, np.array([[5.0, -1e-3, 0.0]]))
    np.testing.assert_allclose(moved, W - 0.1 * np.array([[1.0, -1.0, 0.0]]), rtol=1e-5)


def test_two_steps_by_hand():
    adam = Adam(0.5, betas=(0.5, 0.75), eps=0.0)
    first = adam.update(np.array([0.0]), np.array([2.0]))
    # means 1 and 1; corrected by 0.5 and 0.25: 2 / sqrt(4)
    np.testing.assert_allclose(first, [-0.5])
    # means 0.5 * 1 + 0.5 * 4 = 2.5 and 0.75 * 1 + 0.25 * 16 = 4.75; corrected by 0.75 and 0.4375
    second = adam.update(first, np.array([4.0]))
    np.testing.assert_allclose(second, [-0.5 - 0.5 * (2.5 / 0.75) / np.sqrt(4.75 / 0.4375)])


@pytest.mark.parametrize("lr", [0.01, 0.3])
def test_steps_are_those_of_torch(lr):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    W = rng.standard_normal((3, 4))
    parameter = torch.nn.Parameter(torch.tensor(W))
    theirs, ours = torch.optim.Adam([parameter], lr=lr), Adam(lr)
    for scale in 10.0 ** rng.uniform(-9, 3, 50):
        gradient = scale * rng.standard_normal((3, 4))
        parameter.grad = torch.tensor(gradient)
        theirs.step()
        W = ours.update(W, gradient)
        np.testing.assert_allclose(W, parameter.detach().numpy(), rtol=1e-12, atol=1e-12)


def test_a_quadratic_is_brought_down():
    adam, x = Adam(0.1), np.array([3.0, -4.0])
    for _ in range(500):
        x = adam.update(x, 2 * (x - np.array([1.0, 2.0])))
    np.testing.assert_allclose(x, [1.0, 2.0], atol=1e-3)


def test_no_gradient_no_step_and_nothing_is_changed_in_place():
    x, gradient = np.array([3.0, -4.0]), np.zeros(2)
    moved = Adam(0.1).update(x, gradient)
    np.testing.assert_array_equal(moved, x)
    Adam(0.1).update(x, np.ones(2))
    np.testing.assert_array_equal(x, [3.0, -4.0])
    np.testing.assert_array_equal(gradient, 0.0)
