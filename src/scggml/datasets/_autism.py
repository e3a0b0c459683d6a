"""Nuclei of the prefrontal cortex, autism and controls."""

import anndata as ad
import pandas as pd
from anndata import AnnData

from scggml._docs import documented
from scggml.datasets._r_objects import counts, load_r

URL = (
    "https://raw.githubusercontent.com/Sun-lab/ideas_pipeline/96fee970254b5240da09a2fc42b17c3056d77256/"
    "Autism/data/ct_mtx/"
)
FILES = {
    "Microglia": ("PFC_Microglia.rds", "6607c9a69d1dc959643969a46108a45619d897f473b9eeefca21ce6adcf0d957"),
    "AST-FB": ("PFC_AST-FB.rds", "b9a1a1c80caf25a7379433691f9164b555d53a42ea7933b9ffb7d50dee36525c"),
    "Endothelial": ("PFC_Endothelial.rds", "3278b29a9815334944f33f56acf3fede4b399d1d2e352df7dadacab076f418fc"),
}
"""File and hash of each cell type."""
CONTROLS = frozenset(["4341", "5387", "5408", "5538", "5577", "5879", "5893", "5936", "5958", "5976"])
"""Individuals without autism, after the study; the files do not tell."""


@documented
def autism() -> AnnData:
    """Load 6111 nuclei of the prefrontal cortex of 13 individuals with autism (ASD) and 10 controls.

    Use `sample_key="sample_id"` (the individual, 49 to 851 nuclei) and `label_key="label"`. The nuclei are microglia,
    fibrous astrocytes and endothelial cells, 3 of the 17 cell types of the study. In these the diagnosis of an
    individual that was not learned on is not recognized: a **negative control** with real cells.

    The three files (11 MB together, MIT license) are downloaded once; their SHA-256 is checked. The cache is the folder
    in the environment variable `SCGGML_DATA`, or else the operating system's cache folder. Reading them needs the
    package `rdata`: `pip install 'scggml[datasets]'`.

    Returns
    -------
    AnnData
        The cohort.

        `.X`
            (6111, 18041), CSR, float32: raw counts.
        `.obs`
            Categorical. `sample_id`: the individual and the region, such as "5144_PFC"; `patient_id`: the individual;
            `label`, "Control" or "ASD": the diagnosis in the study, which is not in the files; `batch` of sequencing,
            "SB1" or "SB2"; `cell_type` ("Microglia", "AST-FB", "Endothelial").
        `.var_names`
            Gene symbols.

    Raises
    ------
    %(raises_rdata)s
    %(raises_download)s

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.autism()  # doctest: +SKIP
    >>> sg.tl.cross_validate(adata, "sample_id", "label")  # doctest: +SKIP

    References
    ----------
    Velmeshev et al., Single-cell genomics identifies cell type-specific molecular changes in autism, Science 2019,
    364:685-689, doi:10.1126/science.aav8130. Files: Zhang, Liu et al., IDEAS: individual level differential expression
    analysis for single-cell RNA-seq data, Genome Biology 2022, github.com/Sun-lab/ideas_pipeline.
    """
    adata = ad.concat({cell_type: _of_type(*file) for cell_type, file in FILES.items()}, label="cell_type")
    individual = adata.obs["sample_id"].str.split("_").str[0]
    adata.obs["patient_id"] = pd.Categorical(individual)
    label = individual.isin(CONTROLS).map({True: "Control", False: "ASD"})
    adata.obs["label"] = pd.Categorical(label, categories=["Control", "ASD"])
    second = adata.obs["sample_id"].str.contains("_BA")  # named by Brodmann's area
    adata.obs["batch"] = pd.Categorical(second.map({True: "SB2", False: "SB1"}))
    adata.obs["sample_id"] = pd.Categorical(adata.obs["sample_id"])
    return adata


def _of_type(name: str, sha256: str) -> AnnData:
    """Return the nuclei of one file; their names end with that of the sample."""
    X, cells, genes = counts(load_r(URL + name, sha256))
    samples = [cell.split("_", 1)[1] for cell in cells]
    return AnnData(X, obs=pd.DataFrame({"sample_id": samples}, index=cells), var=pd.DataFrame(index=genes))
