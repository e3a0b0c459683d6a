"""Glomeruli of biopsies with IgA nephropathy."""

from anndata import AnnData

from scggml._docs import documented
from scggml.datasets._cached import read_cached
from scggml.datasets._download import fetch

URL = (
    "https://raw.githubusercontent.com/CostaLab/PILOT/0a8bd1ec3540d2f0dba22f74cdc53893084b128a/"
    "Tutorial/Datasets/Kidney_IgAN_G.h5ad"
)
NAME = "Kidney_IgAN_G.h5ad"
LARGEST = 2**24  # bytes; it has 3 MB
SHA256 = "1501dc1ba58f5e0e3cc3850004a378a7e1a1cae114190111b0eaaed14d4398ba"
EGFR = ["<30", "30-60", ">60"]  # mL/min/1.73 m^2, from the worst kidney function to the best


@documented
def kidney_igan() -> AnnData:
    """Load the shapes of 24227 glomeruli from 634 kidney biopsies with IgA nephropathy, by kidney function.

    An observation is a glomerulus that was segmented in a biopsy of the VALIGA cohort, not a cell; a feature is one
    of 14 measures of its size and shape. Use `sample_key="sampleID"` (the biopsy, 2 to 415 glomeruli) and
    `label_key="status"` (the class of the estimated glomerular filtration rate, eGFR, in mL/min/1.73 m²: 57
    biopsies "<30", 177 "30-60" and 400 ">60").

    The content is that of the published file, with one change: `status` is an *ordered* categorical, from the worst
    function to the best. The features are raw, with units from shares to areas: **standardize them first**
    with `scanpy.pp.scale(adata)`, or areas alone decide each distance.

    The file (3 MB, MIT license) is downloaded once; its SHA-256 is checked. The cache is the folder in the environment
    variable `SCGGML_DATA`, or else the operating system's cache folder.

    Returns
    -------
    AnnData
        The cohort.

        `.X`
            (24227, 14), float32: raw measures, named in `.var_names`.
        `.obs`
            `sampleID`, categorical, 634 biopsies; `status`, ordered categorical, "<30" < "30-60" < ">60";
            `Cell_type`, int64: cluster of the glomerulus in PILOT; `sex`, int64, coded 1 and 2;
            `Age`, float64, years. `status`, `sex` and `Age` are constant within a biopsy.

    Raises
    ------
    %(raises_download)s

    Examples
    --------
    >>> import scanpy as sc
    >>> import scggml as sg
    >>> adata = sg.datasets.kidney_igan()  # doctest: +SKIP
    >>> sc.pp.scale(adata)  # doctest: +SKIP
    >>> sg.tl.ggml(adata, "sampleID", "status")  # doctest: +SKIP

    References
    ----------
    Joodaki et al., *Detection of patient-level distances from single cell genomics and pathomics data with optimal
    transport (PILOT)*, Molecular Systems Biology 2024. Features: Hölscher et al., *Next-Generation Morphometry for
    pathomics-data mining in histopathology*, Nature Communications 2023. File: github.com/CostaLab/PILOT.
    """
    adata = read_cached(fetch(URL, NAME, sha256=SHA256, largest=LARGEST))
    adata.obs["status"] = adata.obs["status"].cat.set_categories(EGFR, ordered=True)
    return adata
