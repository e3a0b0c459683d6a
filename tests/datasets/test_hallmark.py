import pytest

from scggml import datasets
from scggml.datasets import _hallmark
from scggml.ext._gene_sets import read_gene_sets


def test_another_file_is_refused(server, answer, cache, monkeypatch):
    monkeypatch.setattr(_hallmark, "URL", server.set("/sets.gmt", answer(b"<html>Please log in</html>")))
    with pytest.raises(ValueError, match=r"\(h.all.v7.5.1.symbols.gmt\) has another hash: expected sha256:de0fdee3"):
        datasets.hallmark()
    assert list(cache.iterdir()) == []


@pytest.mark.real
def test_fifty_sets(downloads, monkeypatch):
    monkeypatch.setattr(_hallmark, "URL", "http://127.0.0.1:9/sets.gmt")
    path = datasets.hallmark()
    assert path == downloads / "h.all.v7.5.1.symbols.gmt"
    _, sets = read_gene_sets(path)
    by_name = {gene_set.name: gene_set.genes for gene_set in sets}
    assert len(by_name) == 50
    assert len(by_name["HALLMARK_INTERFERON_ALPHA_RESPONSE"]) == 97
