"""Plain Adam, as in Kingma and Ba 2015."""

import numpy as np

from scggml._core.cohort import Floats


class Adam:
    """One run of Adam on one array (betas 0.9 and 0.999, eps 1e-8, no weight decay)."""

    def __init__(self, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        self.lr, self.betas, self.eps = lr, betas, eps
        self._step = 0
        self._mean: Floats | float = 0.0
        self._square: Floats | float = 0.0

    def update(self, parameters: Floats, gradient: Floats) -> Floats:
        """Return the parameters after one step against `gradient`."""
        first, second = self.betas
        self._step += 1
        self._mean = first * self._mean + (1 - first) * gradient
        self._square = second * self._square + (1 - second) * gradient**2
        mean = self._mean / (1 - first**self._step)
        spread = np.sqrt(self._square / (1 - second**self._step))
        out: Floats = parameters - self.lr * mean / (spread + self.eps)
        return out
