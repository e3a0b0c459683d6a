import numpy as np
import pytest
from _nulls import null_cohort

import scggml as sg
from scggml._anndata.evaluation import draws
from scggml._anndata.subject import read_design, read_subject


@pytest.fixture
def typed():
    adata = null_cohort(n_donors=8, n_cells=12)
    adata.obs["type"] = np.random.default_rng(0).choice(["T", "B", "NK"], adata.n_obs)
    return adata


def read(adata, n_repeats, **given):
    subject = read_subject(
        adata,
        "sample",
        "label",
        key="ggml",
        preprocess=None,
        mask_var=None,
        n_cells=given.pop("n_cells", None),
        seed=0,
        given=given,
    )
    return draws(subject, read_design(adata, subject, cell_type_key="type"), n_repeats)


def test_each_repeat_draws_its_own_cells_with_their_types(typed):
    found = read(typed, 3, n_cells=5, summary=None)
    assert len(found) == 3
    names = np.unique(typed.obs["type"])
    for one in found:
        assert (names[one.types] == one.cells.obs["type"].to_numpy()).all()
        for p, own in enumerate(np.split(one.types, one.offsets[1:-1])):
            np.testing.assert_allclose(one.composition[p], np.bincount(own, minlength=3) / len(own))
    cells = [set(one.cells.obs_names) for one in found]
    assert cells[0] != cells[1] != cells[2]
    assert all(list(one.names) == list(found[0].names) for one in found)
    again = read(typed, 3, n_cells=5, summary=None)
    assert [set(one.cells.obs_names) for one in again] == cells


@pytest.mark.parametrize(("n_repeats", "n_cells"), [(1, 5), (3, None), (3, 12)])
def test_where_nothing_is_drawn_anew_there_is_one(typed, n_repeats, n_cells):
    assert len(read(typed, n_repeats, n_cells=n_cells, summary=None)) == 1


def test_by_default_a_coreset_stands_for_the_cells_which_are_counted(typed):
    (one,) = read(typed, 2, summary=sg.tl.Coreset(4))
    samples = one.samples(None)
    assert set(samples.cohort.sizes) == {4}
    assert set(samples.cohort.counts) == {12}


@pytest.mark.parametrize("method", ["clr", "composition", "pilot", "cell_type_pseudobulk", "gloscope", "frequencies"])
def test_methods_that_look_at_cells_say_the_same_beside_a_coreset(typed, method):
    found = []
    for summary in (None, sg.tl.Coreset(4)):
        options = {"preprocess": None, "n_splits": 2, "n_repeats": 1, "n_jobs": 1, "progress": False}
        sg.tl.cross_validate(
            typed, "sample", "label", methods=[method], cell_type_key="type", summary=summary, **options
        )
        found.append(typed.uns["cross_validation"]["probabilities"])
    np.testing.assert_allclose(found[0], found[1])
