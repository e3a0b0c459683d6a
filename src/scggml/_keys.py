"""Every slot name that the package reads or writes, in one place."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Keys:
    """Slot names of one stored metric, all derived from its key.

    >>> Keys("ggml").cells
    'X_ggml'
    """

    key: str = "ggml"

    @property
    def metric(self) -> str:
        """`.uns` of the cells: components, history and parameters."""
        return self.key

    @property
    def cells(self) -> str:
        """`.obsm` of the cells: coordinates in the learned space."""
        return f"X_{self.key}"

    @property
    def loadings(self) -> str:
        """`.varm` of the cells: gene loadings."""
        return self.key

    @property
    def distances(self) -> str:
        """`.obsp` of the samples: the distance matrix. `.uns` holds how it was computed under the same name."""
        return f"{self.key}_distances"


N_CELLS = "n_cells"
"""`.obs` of the samples: number of cells that stand for the sample."""

MDS = "X_mds"
"""`.obsm` of the samples: coordinates from multidimensional scaling; `.uns["mds"]` holds their eigenvalues."""

CROSS_VALIDATION = "cross_validation"
"""`.uns` of the cells: what `tl.cross_validate` found."""

PERMUTATION_TEST = "permutation_test"
"""`.uns` of the cells: what `tl.permutation_test` found."""

TUNING = "tuning"
"""`.uns` of the cells: what `tl.tune` found."""

PREDICTION = "prediction"
"""`.obs` of samples that `tl.predict` predicted; `.obsm` and `.uns` hold the rest under the same name."""
