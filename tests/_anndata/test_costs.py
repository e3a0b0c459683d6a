import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from scggml._anndata import costs as module
from scggml._anndata.costs import cell_slots, numbers_of, stored_cost


@pytest.fixture
def adata():
    points = np.random.default_rng(0).normal(size=(7, 2))
    costs = np.abs(points[:, None] - points).sum(axis=2)
    return AnnData(np.zeros((7, 1)), obsp={"costs": costs, "graph": sparse.csr_matrix(costs)})


def test_costs_are_looked_up_by_the_numbers_of_the_cells(adata):
    cost, numbers = stored_cost(adata, "costs"), numbers_of(adata, "costs")
    x, y = numbers.rows(np.array([1, 4])), numbers.rows(np.array([0, 3, 6]))
    np.testing.assert_array_equal(cost.between(x, y), adata.obsp["costs"][np.ix_([1, 4], [0, 3, 6])])
    assert cell_slots(adata) == ["costs", "graph"]


@pytest.mark.parametrize("block", [1000, 3])
def test_a_matrix_that_depends_on_the_direction_is_refused_with_the_cells(adata, block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    stored_cost(adata, "costs")
    adata.obsp["costs"][5, 2] = 9.0
    with pytest.raises(ValueError, match=r"from cell '2' to '5' and 9 back, which must be equal"):
        stored_cost(adata, "costs")


def test_a_neighbor_graph_does_not_know_all_costs(adata):
    with pytest.raises(ValueError, match=r"adata\.obsp\['graph'\] is sparse, and transport needs the cost between any"):
        stored_cost(adata, "graph")
