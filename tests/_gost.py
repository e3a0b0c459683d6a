"""g:GOSt on this machine: the documented endpoint over a dict of gene sets, with real hypergeometric answers."""

import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from scipy.stats import hypergeom

PATH = "/api/gost/profile/"


@dataclass
class Gost:
    """What the server knows and what was asked. `faults` are answered first, one for each request.

    A fault is (status, body), where status 0 says nothing until the test is over, or a function that answers.
    """

    sets: Mapping[str, Sequence[str]]
    url: str = ""
    faults: list[tuple[int, bytes] | Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def known(self) -> dict[str, str]:
        """Ensembl id of each gene of any set."""
        genes = sorted({gene for genes in self.sets.values() for gene in genes})
        return {gene: f"ENSG{i:011d}" for i, gene in enumerate(genes)}

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """As the documentation says: ordered queries take the best prefix; p-values are adjusted within a query."""
        known = self.known
        queries = asked["query"] if isinstance(asked["query"], dict) else {"query_1": asked["query"]}
        domain = set(asked["background"]) & set(known) if asked["background"] else set(known)
        result, genes_metadata, failed = [], {}, []
        for name, genes in queries.items():
            mapped = [gene for gene in dict.fromkeys(genes) if gene in known]
            failed += [gene for gene in genes if gene not in known]
            inside = [gene for gene in mapped if gene in domain]
            genes_metadata[name] = {
                "mapping": {gene: [known[gene]] for gene in mapped},
                "ensgs": [known[gene] for gene in inside],
            }
            result += self._terms(name, inside, domain, asked)
        return {
            "result": result,
            "meta": {
                "genes_metadata": {"query": genes_metadata, "failed": failed, "ambiguous": {}, "duplicates": {}},
                "query_metadata": {"queries": queries},
                "version": "e113_eg59_p19_test",
                "timestamp": "2025-01-02T03:04:05+0000",
            },
        }

    def _terms(self, query: str, genes: list[str], domain: set[str], asked: dict[str, Any]) -> list[dict[str, Any]]:
        found = []
        asked_here = not asked["sources"] or "TEST" in asked["sources"]
        for name, members in self.sets.items() if asked_here else ():
            term = domain & set(members)
            ends = range(1, len(genes) + 1) if asked["ordered"] else [len(genes)]
            tails = [(hypergeom.sf(len(term & set(genes[:n])) - 1, len(domain), len(term), n), n) for n in ends]
            p, n = min(tails, default=(1.0, 0))
            p = min(1.0, float(p) * len(self.sets))
            hits = [gene for gene in genes[:n] if gene in term]
            found.append(
                {
                    "source": "TEST",
                    "native": name,
                    "name": name.lower(),
                    "p_value": p,
                    "significant": p <= asked["user_threshold"],
                    "description": f"about {name}",
                    "term_size": len(term),
                    "query_size": n,
                    "intersection_size": len(hits),
                    "effective_domain_size": len(domain),
                    "precision": len(hits) / max(n, 1),
                    "recall": len(hits) / max(len(term), 1),
                    "query": query,
                    "parents": [],
                    "source_order": 1,
                    "intersections": [["IDA"] if gene in hits else [] for gene in genes],
                }
            )
        return [term for term in found if asked["all_results"] or term["significant"]]


class Quiet(ThreadingHTTPServer):
    """A server that does not report clients that hung up."""

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def serve(gost: Gost) -> ThreadingHTTPServer:
    """A server for it on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            gost.requests.append(asked)
            gost.paths.append(self.path)
            fault = gost.faults.pop(0) if gost.faults else (200, b"")
            if callable(fault):
                fault(self)
                return
            status, body = fault
            if status == 0:
                gost.over.wait(10)
                return
            if status == 200 and not body:
                body = json.dumps(gost.answer(asked)).encode()
            self.send_response(status)
            for name, value in gost.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    http = Quiet(("127.0.0.1", 0), Handler)
    gost.url = f"http://127.0.0.1:{http.server_port}/gprofiler"
    return http
