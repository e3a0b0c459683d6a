"""g:Convert and g:Orth on this machine: what the client gprofiler-official asks, answered from two small tables."""

from dataclasses import dataclass, field
from typing import Any

from _gost import Gost

SYMBOLS = {"CD4": ["ENSG00000010610"], "PTPRC": ["ENSG00000081237"], "MULTI": ["ENSG00000000001", "ENSG00000000002"]}
ORTHOLOGS = {
    "Cd4": ("ENSMUSG00000023274", [("ENSG00000010610", "CD4")]),
    "Ptprc": ("ENSMUSG00000026395", [("ENSG00000081237", "PTPRC")]),
    "Xist": ("ENSMUSG00000086503", []),
}
ORGANISMS = ("hsapiens", "mmusculus")


@dataclass
class Names(Gost):
    """What is asked at `/api/convert/convert` has `target` and no `aresolve`; g:Orth has both."""

    upper: bool = False
    changes: dict[str, Any] = field(default_factory=dict)

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["output"] == "json"
        rows = [row for n, gene in enumerate(asked["query"], 1) for row in self.rows(gene, n, "aresolve" in asked)]
        return {"meta": {"version": "e113_eg59_p19_test"}, "result": [row | self.changes for row in rows]}

    def rows(self, gene: str, n: int, orth: bool) -> list[dict[str, Any]]:
        shared = {"incoming": gene.upper() if self.upper else gene, "n_incoming": n, "unasked": "dropped by the client"}
        if orth:
            own, found = ORTHOLOGS.get(gene, ("N/A", []))
            about = {"converted": own, "namespaces": "MGI" if own != "N/A" else "", "n_converted": 1}
            return [
                shared | about | {"ortholog_ensg": to, "name": name, "description": f"about {name}", "n_result": i}
                for i, (to, name) in enumerate(found or [("N/A", "N/A")], 1)
            ]
        ids = SYMBOLS.get(gene) or [ensg for found in SYMBOLS.values() for ensg in found if ensg == gene]
        name = next((symbol for symbol, found in SYMBOLS.items() if gene == symbol or gene in found), "None")
        return [
            shared
            | {
                "converted": to,
                "n_converted": i,
                "name": name,
                "description": None if name == "None" else f"about {name}",
                "namespaces": "HGNC,UNIPROT_GN" if name != "None" else "",
                "query": "query_1",
            }
            for i, to in enumerate(ids or ["None"], 1)
        ]
