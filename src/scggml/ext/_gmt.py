"""Gene sets from a file or a dict."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scggml._anndata.messages import choices
from scggml._arguments import check_names, shown
from scggml.ext._query import plain_name, unique


@dataclass(frozen=True)
class GeneSet:
    """A named set of genes."""

    name: str
    description: str
    genes: list[str]


def read_gene_sets(gene_sets: str | Path | Mapping[str, Iterable[str]]) -> tuple[str, list[GeneSet]]:
    """Return the name of the collection and its sets: a GMT file (name, description, genes; tabs between) or a dict."""
    if not isinstance(gene_sets, str | Path | Mapping):
        raise TypeError(
            f"gene_sets={shown(gene_sets)} is a {type(gene_sets).__name__}; pass the path of a GMT file or a dict of "
            "gene lists."
        )
    if isinstance(gene_sets, Mapping):
        for name, genes in gene_sets.items():
            check_names(f"gene_sets[{name!r}]", genes)
        sets = [GeneSet(str(name), "", unique(plain_name(g) for g in genes)) for name, genes in gene_sets.items()]
        if not sets:
            raise ValueError("gene_sets is empty; at least one set of genes is needed.")
        return "custom", sets
    path = Path(gene_sets)
    if not path.is_file():
        raise FileNotFoundError(f"gene_sets={str(gene_sets)!r} is not a file; pass a GMT file or a dict of gene lists.")
    sets = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) < 3:
            raise ValueError(
                f"{path}, line {number}: {line[:60]!r} has {len(fields)} field(s). A GMT file has a name, a "
                "description and genes on each line, with tabs between."
            )
        sets.append(GeneSet(fields[0], fields[1], unique(plain_name(gene) for gene in fields[2:])))
    if not sets:
        raise ValueError(f"{path} holds no gene sets; a GMT file has one on each line.")
    twice = [name for name, times in Counter(s.name for s in sets).items() if times > 1]
    if twice:
        raise ValueError(
            f"{path} has {len(twice)} names twice, such as {choices(twice[:3])}; each set needs its own name."
        )
    return path.stem, sets
