"""Ways to learn that tests share."""

from dataclasses import fields
from typing import Any

from anndata import AnnData

import scggml as sg

SETTLED = {"method": sg.tl.Canonical(ridge=0.05, ridge_scale="mean"), "shrinkage": 0.4}
"""The default where nothing is decided inside the training donors."""

OF_STEPS = {field.name for field in fields(sg.tl.Triplets)}


def take_steps(adata: AnnData, **options: Any) -> AnnData | None:
    """A fixed number of plain gradient steps, and no warning that they were few; options of `Triplets` are its own."""
    steps = {"max_iter": 8, "tol": 0} | {name: value for name, value in options.items() if name in OF_STEPS}
    others = {name: value for name, value in options.items() if name not in OF_STEPS}
    given = {"n_comps": 2, "progress": False, "method": sg.tl.Triplets(**steps)} | others
    return sg.tl.ggml(adata, "sample_id", "label", **given)
