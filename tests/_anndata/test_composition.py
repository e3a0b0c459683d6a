import re
import warnings

import numpy as np
import pytest
from _nulls import null_cohort

from scggml._anndata.composition import shares_of_both, warn_of_leaks
from scggml._anndata.selection import select
from scggml._core.samples import Target

CLASSES = Target("classes", np.array([0.0, 1, 0, 1]), np.array(["c0", "c1"]))


def chosen(types):
    adata = null_cohort(n_donors=4, n_cells=6)
    adata.obs["type"] = np.tile(types, adata.n_obs // len(types))
    return select(adata, "sample", rng=np.random.default_rng(0))


def test_shares_are_of_the_types_of_the_reference():
    known, new = chosen(["B", "NK", "T"]), chosen(["T", "T", "B"])
    first, second = shares_of_both(known, new, "type", CLASSES)
    np.testing.assert_allclose(first, np.full((4, 3), 1 / 3))
    np.testing.assert_allclose(second, np.tile([1 / 3, 0, 2 / 3], (4, 1)))


def test_a_type_that_the_reference_lacks_is_named_with_those_that_it_has():
    with pytest.raises(ValueError, match=re.escape("types that no sample of the reference has: 'NK'. Name them as")):
        shares_of_both(chosen(["B", "T"]), chosen(["B", "NK"]), "type", CLASSES)


def test_types_of_one_class_are_warned_of_and_those_of_numbers_are_not():
    selection = chosen(["B", "T"])
    types, names = selection.categories("type", "cell_type_key")
    types = np.where(np.repeat(CLASSES.codes, 6) == 0, 0, types)  # T in class c1 alone
    with pytest.warns(
        UserWarning, match=r"1 of the 2 types of adata.obs\['type'\] occur in one class only: 'T' \(c1\)"
    ):
        warn_of_leaks(selection, CLASSES, types, names, "type")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_leaks(selection, Target("numbers", np.arange(4.0), np.array([])), types, names, "type")
