"""Public cohorts from CELLxGENE Discover."""

import re

from anndata import AnnData

from scggml._docs import documented
from scggml.datasets._cached import read_cached
from scggml.datasets._download import fetch

BASE_URL = "https://datasets.cellxgene.cziscience.com"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@documented
def cellxgene(dataset_id: str, *, backed: bool = False) -> AnnData:
    """Load any dataset of CELLxGENE Discover by the identifier in its download link.

    The file `https://datasets.cellxgene.cziscience.com/<dataset_id>.h5ad`, as a rule some GB, is downloaded
    once, into the folder in the environment variable `SCGGML_DATA` or else the operating system's cache folder.
    CELLxGENE publishes no hashes: of a download the file's length is checked, and that it opens; later, that it is
    still what came, by a hash that is noted beside it. A file that was damaged since is downloaded anew.

    Parameters
    ----------
    dataset_id
        A UUID such as "c1f6034b-7973-45e1-85e7-16933d0550bc".
    backed
        Leave `.X` on disk and read it piece by piece. The file is opened for reading only.

    Returns
    -------
    AnnData
        The file's content, unchanged. In CELLxGENE's schema `.var_names` are Ensembl identifiers, gene symbols are
        in `.var["feature_name"]`, the donor is `.obs["donor_id"]`, and raw counts are in `.raw` if `.X` is normalized.

    Raises
    ------
    ValueError
        If `dataset_id` is no UUID, what came is no HDF5 file, or a file that was put there by hand is damaged.
    FileNotFoundError
        If CELLxGENE has no such file.
    ConnectionError
        If the file is not in the cache and the network does not deliver it.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.cellxgene("c1f6034b-7973-45e1-85e7-16933d0550bc", backed=True)  # doctest: +SKIP

    References
    ----------
    CZI Cell Science Program, *CZ CELLxGENE Discover: a single-cell data platform for scalable exploration, analysis
    and modeling of aggregated data*, Nucleic Acids Research 2025. https://cellxgene.cziscience.com
    """
    identifier = str(dataset_id).strip().lower()
    if not UUID.fullmatch(identifier):
        msg = (
            f"dataset_id={dataset_id!r} is no UUID such as 'c1f6034b-7973-45e1-85e7-16933d0550bc': give the last part, "
            f"without '.h5ad', of the download link that CELLxGENE shows ({BASE_URL}/<dataset_id>.h5ad)."
        )
        raise ValueError(msg)
    name = f"{identifier}.h5ad"
    return read_cached(fetch(f"{BASE_URL}/{name}", name), backed=backed)


@documented
def myocardial_infarction(*, backed: bool = False) -> AnnData:
    """Load nuclei of human hearts after myocardial infarction and of controls.

    Use `sample_key="sample"` and `label_key="patient_group"` (the groups of the study).

    Parameters
    ----------
    backed
        %(backed)s

    Returns
    -------
    AnnData
        The file's content, as :func:`cellxgene` gives it.

    Raises
    ------
    FileNotFoundError, ConnectionError, ValueError
        As :func:`cellxgene`.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.myocardial_infarction()  # doctest: +SKIP
    >>> sg.tl.ggml(adata, "sample", "patient_group")  # doctest: +SKIP

    References
    ----------
    Kuppe et al., *Spatial multi-omic map of human myocardial infarction*, Nature 2022, 608:766-777.
    CELLxGENE dataset c1f6034b-7973-45e1-85e7-16933d0550bc.
    """
    return cellxgene("c1f6034b-7973-45e1-85e7-16933d0550bc", backed=backed)


@documented
def breast_cancer(*, backed: bool = False) -> AnnData:
    """Load cells of human breast tissue, by the reported diseases of the donors.

    Use `sample_key="donor_id"` and `label_key="reported_diseases"`.

    Parameters
    ----------
    backed
        %(backed)s

    Returns
    -------
    AnnData
        The file's content, as :func:`cellxgene` gives it.

    Raises
    ------
    FileNotFoundError, ConnectionError, ValueError
        As :func:`cellxgene`.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.breast_cancer()  # doctest: +SKIP
    >>> sg.tl.ggml(adata, "donor_id", "reported_diseases")  # doctest: +SKIP

    References
    ----------
    CELLxGENE dataset b8b5be07-061b-4390-af0a-f9ced877a068; its page names the study.
    """
    return cellxgene("b8b5be07-061b-4390-af0a-f9ced877a068", backed=backed)


@documented
def kidney_disease(*, backed: bool = False) -> AnnData:
    """Load cells of human kidneys, by disease.

    Use `sample_key="donor_id"` and `label_key="disease"`.

    Parameters
    ----------
    backed
        %(backed)s

    Returns
    -------
    AnnData
        The file's content, as :func:`cellxgene` gives it.

    Raises
    ------
    FileNotFoundError, ConnectionError, ValueError
        As :func:`cellxgene`.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.kidney_disease()  # doctest: +SKIP
    >>> sg.tl.ggml(adata, "donor_id", "disease")  # doctest: +SKIP

    References
    ----------
    CELLxGENE dataset 1c360b0b-eb2f-45a3-aba9-056026b39fa5; its page names the study.
    """
    return cellxgene("1c360b0b-eb2f-45a3-aba9-056026b39fa5", backed=backed)


@documented
def covid19(*, backed: bool = False) -> AnnData:
    """Load cells of donors with COVID-19 and of controls.

    Use `sample_key="donor_id"` and `label_key="disease"`.

    Parameters
    ----------
    backed
        %(backed)s

    Returns
    -------
    AnnData
        The file's content, as :func:`cellxgene` gives it.

    Raises
    ------
    FileNotFoundError, ConnectionError, ValueError
        As :func:`cellxgene`.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.covid19()  # doctest: +SKIP
    >>> sg.tl.ggml(adata, "donor_id", "disease")  # doctest: +SKIP

    References
    ----------
    CELLxGENE dataset e6b93598-7ae3-47d6-b971-d3c6d9162175; its page names the study.
    """
    return cellxgene("e6b93598-7ae3-47d6-b971-d3c6d9162175", backed=backed)
