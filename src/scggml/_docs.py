r"""Texts about parameters that several public docstrings share, so that each is written and corrected in one place.

A docstring holds `%(name)s` where a text belongs, alone on its line, which gives the indentation:

>>> @documented
... def measure(copy):
...     '''Measure.
...
...     Parameters
...     ----------
...     copy
...         %(copy)s
...     '''
>>> print(measure.__doc__.splitlines()[5].strip())
Write into a copy and return it.
"""

import re
from collections.abc import Callable
from inspect import cleandoc
from typing import Any, TypeVar

from scggml._arguments import hold_to_signature

Documented = TypeVar("Documented", bound=Callable[..., Any])

PLACE = re.compile(r"^( *)%\((\w+)\)s$", re.MULTILINE)
"""A line that a text takes the place of."""

TEXTS = {
    "adata_cells": "Cells x genes.",
    "adata_enrichment": "AnnData that `ext.gprofiler` or `ext.enrich_gmt` has written to.",
    "adata_evaluated": "AnnData that `tl.cross_validate` or `tl.tune` has written to.",
    "adata_learned": "AnnData with the metric and the cells that it was learned on.",
    "adata_ranked": "AnnData that `tl.ggml` and `tl.rank_genes` have written to.",
    "adata_tested": "AnnData that `tl.gene_stability` has written to.",
    "adata_metric": "AnnData that `tl.ggml` (or `tl.project`) has written to.",
    "adata_planned": "AnnData that `tl.power` has written to.",
    "all_results": "Return sets that are not significant, too.",
    "ax": "Axes to draw on; with `show=False` until all that shares their figure is drawn.",
    "background": "Names of the genes to compare with. None for all genes that `tl.rank_genes` ranked.",
    "backed": "Leave `.X` on disk, see :func:`cellxgene`.",
    "by": """
        `"pattern"` (how genes change along a component) or `"loading"` (what they weigh in it), see `tl.rank_genes`.
        """,
    "component": 'Component, by its number from 1 or its name (`"ggml1"`); None for the whole metric.',
    "components": """
        Components, by number (from 1) or name. By default those that `tl.component_test` found real; where it
        has not run, those that carry at least 3 % of the metric (what is below is mostly the Euclidean metric).
        """,
    "client": """
        `GProfiler(base_url=..., user_agent=...)` of the package gprofiler-official, which says where the service is and
        what it is told about who asks. None for one at `base_url`.
        """,
    "copy": "Write into a copy and return it.",
    "gene_symbols": "Column of `.var` with the names of the genes instead of `.var_names`.",
    "groups_key": "Column of `.obs` with the donor of each sample.",
    "key_distances": 'Distances in `.obsp`: `"ggml"` for `"ggml_distances"`.',
    "key_metric": "Key of the metric in `.uns`.",
    "key_result": "Key of the result in `.uns`.",
    "keys_cells": """
        Columns of `.obs`: sample of each cell, class of each sample, weights of the cells. By default those that the
        metric was learned with.
        """,
    "keys_donors": "Columns of `.obs`: sample of each cell, label and donor of each sample.",
    "legend_loc": """
        Where the legend stands: `"right margin"`, a place inside the axes such as `"upper right"` or `"best"`, or None
        (`"none"`) for no legend.
        """,
    "legend_loc_other": """
        Where the legend stands: where it does by default, in the `"right margin"`, inside the axes, such as
        `"upper right"` or `"best"`, or None (`"none"`) for no legend.
        """,
    "max_p_adjusted_genes": "Ask about genes with at most this false discovery rate (from `tl.gene_stability`).",
    "max_p_adjusted_sets": "Keep sets with at most this adjusted p-value.",
    "min_cells": "Leave out samples with fewer cells, with a warning that lists them.",
    "n_cells": "Draw this many cells of each sample at random (all of a sample with fewer); None takes all cells.",
    "n_classes": "Number of classes.",
    "n_comps": "k, the number of components; by default up to 5, as many as the features can carry.",
    "n_genes_directions": "Number of the strongest genes of each component, whatever their direction.",
    "ncols": "Panels in a row; by default at most four, with as few places empty as that leaves.",
    "n_jobs_processes": "Processes; None for what `joblib.parallel_config` says, or else all cores.",
    "n_jobs_threads": "Threads; None for all cores.",
    "palette": """
        Colors of groups: by name (`{"well": "#0072B2", "ill": "red"}`), a list in the order of the groups, or the name
        of a colormap of matplotlib. By default those in `.uns["<column>_colors"]`; else ordered groups lie on a
        scale, up to 23 others have colors that stay apart for color-blind readers, and more lie on viridis, where
        neighbors can hardly be told apart. Only the drawing changes; nothing is written into `.uns`.
        """,
    "progress": "Show a progress bar.",
    "raises_download": """
        ConnectionError
            If a file is not in the cache and the network does not deliver it.
        ValueError
            If a file that came has another hash.""",
    "raises_rdata": """
        ImportError
            Without the package `rdata`.""",
    "rng": "Seed or generator; the same seed gives the same result for any `n_jobs`.",
    "rng_cells": "Seed or generator for `n_cells` and `summary`; by default the seed of the metric.",
    "rng_synthetic": "Seed, or a generator, which is advanced. The same seed gives the same bytes.",
    "samples": "AnnData of samples from `tl.distances`.",
    "save": """
        File to write; its folder is made. True, or an ending such as `".pdf"`, for a file of the name of the function
        in `sc.settings.figdir` (True: of the kind `sc.settings.file_format_figs`).
        """,
    "show": """
        Call `plt.show()`. None to do so where scanpy would (`sc.settings.autoshow`) and matplotlib has where to show
        it. The axes are returned in any case, and `.figure` of them is the figure.
        """,
    "shrinkage": r"""
        s in [0, 1], the share of the Euclidean metric in the variance of the cells:
        :math:`\theta = (1 - s)\, W^T W + s\, v_W / v_I\; I`, where v is the total variance of the cells under each. Of
        this the k principal axes of the cells are kept. `"auto"` decides inside the training donors; it is 0 where
        `Triplets` has a penalty that selects (any but `"fro"`), or a margin in units of the data as in the paper. With
        batches the Euclidean part leaves out the directions in which batches differ.
        """,
    "solver": "Solver of optimal transport, by name or as an object with options.",
    "squared": r"Use the squared distance :math:`\|W(x-y)\|^2` as ground cost.",
    "summary_auto": """
        `"auto"` takes all cells unless the median sample has 1000 or more; then it is `Coreset(200)`, or `Coreset(100)`
        in cohorts of more than 200 samples. With more than 500 features and 4000 cells in all it is `Coreset(50)`.
        """,
    "title": "Title in place of the usual one.",
    "titles": "Titles in place of the usual ones: a list with one for each panel.",
    "user_threshold": "Largest adjusted p-value that is significant.",
}
"""Text by name: that of the parameter, with what it is about where a parameter has several texts."""


def documented(thing: Documented) -> Documented:
    """Fill the places of shared texts in the docstring of a function or class; hold a function to its signature."""
    # `python -OO` strips docstrings, and there is nothing to fill.
    if thing.__doc__ is not None:
        thing.__doc__ = _filled(thing)
    return thing if isinstance(thing, type) else hold_to_signature(thing)


def _filled(thing: Callable[..., Any]) -> str:
    """Return the docstring with its texts."""

    def text(place: re.Match[str]) -> str:
        indent, name = place.groups()
        if name not in TEXTS:
            raise KeyError(f"{thing.__qualname__} asks for the text {name!r}; {__name__}.TEXTS has {sorted(TEXTS)}.")
        return "\n".join(indent + line if line else line for line in cleandoc(TEXTS[name]).splitlines())

    filled = PLACE.sub(text, thing.__doc__ or "")
    # A place beside other words would break the lines around it, so it is no place.
    if "%(" in filled:
        raise ValueError(f"{thing.__qualname__}: %(name)s stands alone on its line, or not at all.")
    return filled
