import inspect

import numpy as np
import pytest

from scggml import datasets
from scggml.datasets import _cellxgene

ANY = "c1f6034b-7973-45e1-85e7-16933d0550bc"
NAMED = {
    "myocardial_infarction": ("c1f6034b-7973-45e1-85e7-16933d0550bc", "sample", "patient_group"),
    "breast_cancer": ("b8b5be07-061b-4390-af0a-f9ced877a068", "donor_id", "reported_diseases"),
    "kidney_disease": ("1c360b0b-eb2f-45a3-aba9-056026b39fa5", "donor_id", "disease"),
    "covid19": ("e6b93598-7ae3-47d6-b971-d3c6d9162175", "donor_id", "disease"),
}


@pytest.fixture
def portal(server, answer, cache, h5ad, monkeypatch):
    """A portal that has the named datasets."""
    for dataset_id, *_ in NAMED.values():
        server.set(f"/{dataset_id}.h5ad", answer(h5ad))
    monkeypatch.setattr(_cellxgene, "BASE_URL", server.url)
    return server


def test_the_portal_is_cellxgene():
    assert _cellxgene.BASE_URL == "https://datasets.cellxgene.cziscience.com"


@pytest.mark.parametrize("name", NAMED)
def test_named_loaders(portal, cache, name):
    dataset_id, sample_key, label_key = NAMED[name]
    load = getattr(datasets, name)
    np.testing.assert_array_equal(load().X, [[0, 1], [2, 3], [4, 5]])
    assert portal.requests == [f"/{dataset_id}.h5ad"]
    assert (cache / f"{dataset_id}.h5ad").is_file()
    doc = inspect.getdoc(load)
    assert f'sample_key="{sample_key}"' in doc
    assert f'label_key="{label_key}"' in doc


def test_backed(portal):
    adata = datasets.cellxgene(ANY, backed=True)
    try:
        assert adata.isbacked
        np.testing.assert_array_equal(adata.X[1:2], [[2, 3]])
    finally:
        adata.file.close()
    assert datasets.myocardial_infarction(backed=False).isbacked is False


def test_cached_and_offline(portal, monkeypatch):
    datasets.cellxgene(ANY)
    monkeypatch.setattr(_cellxgene, "BASE_URL", "http://127.0.0.1:9")
    assert datasets.cellxgene(ANY.upper()).shape == (3, 2)
    assert len(portal.requests) == 1


def test_unknown_dataset(portal):
    with pytest.raises(FileNotFoundError, match=r"00000000-0000-0000-0000-000000000000\.h5ad: HTTP 404"):
        datasets.cellxgene("00000000-0000-0000-0000-000000000000")


@pytest.mark.parametrize("wrong", ["", "kidney", f"{ANY}.h5ad", f"../{ANY}", ANY.replace("-", ""), 7, None])
def test_no_uuid(portal, wrong):
    with pytest.raises(ValueError, match=r"is no UUID such as .* last part") as error:
        datasets.cellxgene(wrong)
    assert repr(wrong) in str(error.value)
    assert portal.requests == []


@pytest.mark.parametrize("backed", [False, True])
def test_damage_in_any_place_of_a_file_put_there_by_hand_names_it(portal, cache, h5ad, monkeypatch, backed):
    monkeypatch.setattr(_cellxgene, "BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    cache.mkdir(exist_ok=True)
    told = 0
    rng = np.random.default_rng(0)
    for _ in range(60):
        content = bytearray(h5ad)
        at = rng.integers(0, min(6000, len(content)) - 40)
        content[at : at + 40] = rng.bytes(40)
        (cache / f"{ANY}.h5ad").write_bytes(content)
        try:
            found = datasets.cellxgene(ANY, backed=backed)
        except (ValueError, ConnectionError) as error:
            assert f"{ANY}.h5ad" in str(error)  # noqa: PT017
            assert "Delete it, and call again" in str(error) or "put it there as" in str(error)  # noqa: PT017
            told += 1
        else:
            if backed:
                found.file.close()
    assert told > 10


def test_a_file_that_is_too_large_for_memory_is_not_called_damaged(portal, monkeypatch):
    def small(*args, **options):
        raise MemoryError

    monkeypatch.setattr("scggml.datasets._cached.ad.read_h5ad", small)
    with pytest.raises(MemoryError):
        datasets.cellxgene(ANY)
