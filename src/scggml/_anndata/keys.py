"""Every slot name that the package reads or writes, in one place."""

from collections.abc import Iterable
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
    def patterns(self) -> str:
        """`.varm` of the cells: transport patterns of the genes."""
        return f"{self.key}_patterns"

    @property
    def held_out(self) -> str:
        """`.uns` of the cells: metrics that have not seen some donors. As a key: that of held-out distances."""
        return f"{self.key}_held_out"

    @property
    def held_out_cells(self) -> str:
        """`.obsm` of the cells: coordinates under the metric that has not seen the donor of a cell."""
        return f"X_{self.key}_held_out"

    @property
    def covariates(self) -> str:
        """`.uns` of the samples: how strongly distances follow covariates."""
        return f"{self.key}_covariates"

    @property
    def pseudotime(self) -> str:
        """`.obs` of the samples: their order along a trajectory."""
        return f"{self.key}_pseudotime"

    @property
    def trajectory(self) -> str:
        """`.uns` of the samples: genes and cell types along it."""
        return f"{self.key}_trajectory"

    @property
    def cell_types(self) -> str:
        """`.obsm` of the samples: shares of the cell types along it."""
        return f"{self.key}_cell_types"

    @property
    def influence(self) -> str:
        """`.uns` of the cells: the metric without each donor."""
        return f"{self.key}_influence"

    @property
    def components(self) -> str:
        """`.uns` of the cells: which components are real."""
        return f"{self.key}_components"

    @property
    def distances(self) -> str:
        """`.obsp` of the samples: the distance matrix. `.uns` holds how it was computed under the same name."""
        return f"{self.key}_distances"

    @property
    def means(self) -> str:
        """`.obsm` of the samples: the mean of each in the learned space, where samples are Gaussians."""
        return f"{self.key}_means"

    @property
    def covariances(self) -> str:
        """`.obsm` of the samples: the covariance of each in the learned space, where samples are Gaussians."""
        return f"{self.key}_covariances"

    @property
    def mixture(self) -> str:
        """`.uns` of the cells: Gaussians of the samples, among the features. `.uns` of these: in the learned space."""
        return f"{self.key}_mixture"

    @property
    def genes(self) -> str:
        """`.uns` of the cells: ranked genes, over all cells and by cell type."""
        return f"{self.key}_genes"

    @property
    def stability(self) -> str:
        """`.uns` of the cells: how stable and how significant the genes are."""
        return f"{self.key}_stability"

    @property
    def attribution(self) -> str:
        """`.obs` of the cells: what each adds to the gap between classes. `.uns` holds the tables of cell types."""
        return f"{self.key}_attribution"

    @property
    def excess(self) -> str:
        """`.obs` of the cells: how much farther each is from other classes than from its own."""
        return f"{self.key}_excess"

    @property
    def enrichment(self) -> str:
        """`.uns` of the cells: gene sets of the components."""
        return f"{self.key}_enrichment"


def distance_keys(slots: Iterable[str]) -> list[str]:
    """Return the keys of the distances among the slots of `.obsp`."""
    ending = Keys("").distances
    return [name.removesuffix(ending) for name in slots if name.endswith(ending)]


N_CELLS = "n_cells"
"""`.obs` of the samples: number of cells that stand for the sample."""

DEPTH = "depth"
"""`.obs` of the samples: mean number of counts of a cell."""

DEPTH_OF_CELLS = ("total_counts", "n_counts", "nCount_RNA")
"""`.obs` of the cells: number of counts, by the names that scanpy, older scanpy and Seurat give it."""


def apart(name: str) -> str:
    """Return the name of a column of ours where the user has one of that name, which is never replaced."""
    return f"scggml_{name}"


FRACTION = "fraction"
"""`.layers` of the samples: share of the cells that express a gene."""

MDS = "X_mds"
"""`.obsm` of the samples: coordinates from multidimensional scaling."""

MDS_RECORD = "mds"
"""`.uns` of the samples: eigenvalues of these coordinates."""

TSNE = "X_tsne"
"""`.obsm` of the samples: coordinates from t-SNE."""

TSNE_RECORD = "tsne"
"""`.uns` of the samples: how these coordinates were found."""

NEIGHBORS, CONNECTIVITIES, NEAREST = "neighbors", "connectivities", "distances"
"""`.uns` and `.obsp` of the samples: the neighbor graph in the slots that scanpy reads."""

CROSS_VALIDATION = "cross_validation"
"""`.uns` of the cells: what `tl.cross_validate` found."""

PERMUTATION_TEST = "permutation_test"
"""`.uns` of the cells: what `tl.permutation_test` found."""

POWER = "power"
"""`.uns` of the cells: what `tl.power` found."""

TUNING = "tuning"
"""`.uns` of the cells: what `tl.tune` found."""

PREDICTION = "prediction"
"""`.obs` of samples that `tl.predict` predicted; `.obsm` and `.uns` hold the rest under the same name."""

COMMANDS = "scggml_commands"
"""`.uns`: lines of the command line that have written into the file."""
