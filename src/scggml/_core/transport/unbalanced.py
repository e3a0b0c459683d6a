"""Transport that may leave mass behind."""

from dataclasses import dataclass
from typing import ClassVar

from scggml._core.checks import check_number
from scggml._core.transport.dense import Terms
from scggml._core.transport.entropic import Entropic
from scggml._core.transport.plans import GroundCost
from scggml._core.transport.solver import LAWS, Traits


@dataclass(frozen=True, kw_only=True)
class Unbalanced(Entropic):
    r"""Unbalanced entropic transport: cells that are far from all others stay behind for a price.

    Finds the plan :math:`T` that minimizes

    .. math:: \sum_{ij} T_{ij} C_{ij} + \rho\, \mathrm{KL}(T 1 \mid a) + \rho\, \mathrm{KL}(T^T 1 \mid b)
        + \varepsilon\, \mathrm{KL}(T \mid a b^T),

    with :math:`\mathrm{KL}(r \mid a) = \sum_i r_i \log(r_i / a_i) - r_i + a_i`. The distance is this without the last
    term, at the plan; the gradient is that of the whole, with :math:`\varepsilon` and :math:`\rho` constants. Two cells
    at cost c keep the share :math:`e^{-c / 2\rho}` of their mass, and pay :math:`2\rho (1 - e^{-c / 2\rho})`: a cell
    that is far away, or of a type that the other sample lacks, costs :math:`2\rho` at most, so that neither outlying
    cells nor shifts of the composition dominate.

    Parameters
    ----------
    reach
        How far mass is moved, in typical distances: :math:`2\rho` is the ground cost of this distance, at which a cell
        keeps 37 % of its mass. Towards infinity the distance becomes that of `Sinkhorn`.
    epsilon, tol, max_iter, device, cache_size, unit
        As in `Sinkhorn`; `unit` is what `reach` is relative to, too, and `tol` the share of the mass by which the rows
        of the plan miss those of the optimum.

    Examples
    --------
    >>> import numpy as np
    >>> import scggml as sg
    >>> solver = sg.tl.Unbalanced(reach=1.0, unit=1.0)
    >>> one = np.array([1.0])
    >>> [round(solver.solve(one, one, np.array([[cost]])).cost, 2) for cost in (0.5, 1.0, 100.0)]
    [0.39, 0.63, 1.0]

    References
    ----------
    Chizat, Peyré, Schmitzer and Vialard, *Scaling algorithms for unbalanced optimal transport problems*, Mathematics of
    Computation 2018; Séjourné, Feydy, Vialard, Trouvé and Peyré, *Sinkhorn divergences for unbalanced optimal
    transport*, 2019 (arXiv 1910.12958).
    """

    reach: float = 1.0

    traits: ClassVar[Traits] = Traits(
        value="cost of the entropic plan and penalties of its marginals",
        gradient="the objective with its entropy",
        coupling="relaxed",
        laws=frozenset(LAWS)
        - {
            "zero_to_a_copy",
            "depends_on_two_samples_only",
            "of_one_cell_the_cost_itself",
            "triangle",
            "optimal_assignment",
            "not_below_exact",
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("Unbalanced: reach", self.reach, "a positive number of typical distances", 0, open_low=True)

    def terms(self, cost: GroundCost | None) -> Terms:
        """Return the weights of the objective, in units of the typical cost."""
        # Twice as far means four times the cost where it is a square.
        degree = 2 if cost in ("sqeuclidean", "cosine") else 1
        return Terms(self.epsilon, self.reach**degree / 2)
