"""What do 200 permutations of the labels cost, in units of one fit of the default? Refits share what no label enters.

    python benchmarks/refits.py
    python benchmarks/refits.py --cohort cohort.h5ad --measured 20 --profile

One process with one thread learns the default metric of a cohort with `sg.tl.ggml`, and then permutes labels with
`sg.tl.gene_stability(n_boot=0)` and with `sg.tl.permutation_test`, both for the stored metric. Seconds are those
of the processor, so that a busy machine changes little. With `--measured` below `--permutations` two smaller numbers of
permutations are measured, and time is taken to be a constant and as much again for each permutation.
"""

import argparse
import cProfile
import io
import pstats
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
from _report import Row, add_csv_option, append_csv, heading, print_table
from _worker import HERE, Gate, run

import scggml as sg

COHORT = HERE.parents[1] / "shared" / "data" / "hiv_flowtype.h5ad"

JOBS: dict[str, Callable[..., Any]] = {
    "gene_stability": lambda adata, n, **options: sg.tl.gene_stability(adata, n_boot=0, n_perm=n, **options),
    "permutation_test": lambda adata, n, **options: sg.tl.permutation_test(adata, n_permutations=n, **options),
}


def seconds(function: Callable[..., Any], *args: Any, **kwargs: Any) -> float:
    """Seconds of the processor for one call."""
    began = time.process_time()
    function(*args, **kwargs)
    return time.process_time() - began


def compile_kernels(options: dict[str, Any]) -> None:
    """Do all of it on a handful of cells, so that compiled code is there."""
    adata = sg.datasets.synthetic(n_noise=3, n_samples=5, n_cells=10)
    sg.tl.ggml(adata, "sample_id", "label", **options)
    for job in JOBS.values():
        job(adata, 2, **options)


def measure(config: dict[str, Any], gate: Gate) -> dict[str, Any]:
    """Seconds of a fit, and of each job for each number of permutations; profiles, where they are asked for."""
    warnings.simplefilter("ignore")
    options = {"n_jobs": 1, "progress": False}
    compile_kernels(options)
    adata = ad.read_h5ad(config["cohort"])
    gate()
    fits = [
        seconds(sg.tl.ggml, adata, config["sample"], config["label"], **options) for _ in range(max(1, config["fits"]))
    ]
    found: dict[str, Any] = {"fit": min(fits)}
    for name in config["jobs"]:
        job = JOBS[name]
        found[name] = [seconds(job, adata, n, **options) for n in config["numbers"]]
        if config["profile"]:
            with cProfile.Profile() as profile:
                job(adata, config["numbers"][-1], **options)
            text = io.StringIO()
            pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(25)
            found[f"profile of {name}"] = text.getvalue()
    return found


def in_units_of_fits(name: str, found: dict[str, Any], numbers: list[int], n: int) -> Row:
    """Seconds of n permutations, from those of the numbers that were measured, and how many fits they amount to."""
    taken = found[name]
    each = (taken[-1] - taken[0]) / (numbers[-1] - numbers[0]) if len(numbers) > 1 else taken[0] / numbers[0]
    total = taken[-1] + each * (n - numbers[-1])
    return {
        "job": name,
        "fit s": found["fit"],
        "measured": numbers[-1],
        "measured s": taken[-1],
        "permutations": n,
        "seconds": total,
        "ms each": 1e3 * each,
        "in single fits": total / found["fit"],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path, default=COHORT, help=f"h5ad (default {COHORT.name})")
    parser.add_argument("--sample", default="sample_id", help="column of samples (default sample_id)")
    parser.add_argument("--label", default="label", help="column of labels (default label)")
    parser.add_argument("--permutations", type=int, default=200, help="number to report (default 200)")
    parser.add_argument("--measured", type=int, help="number to measure (default: all of them)")
    parser.add_argument("--fits", type=int, default=2, help="single fits, of which the fastest counts (default 2)")
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--profile", action="store_true", help="print where the time of the permutations goes")
    add_csv_option(parser)
    options = parser.parse_args()
    measured = min(options.measured or options.permutations, options.permutations)
    numbers = [measured] if measured == options.permutations else sorted({max(1, measured // 2), measured})

    heading(f"Permutations in units of single fits on {options.cohort.name}, one thread")
    config = {name: getattr(options, name) for name in ("sample", "label", "fits", "profile", "jobs")}
    found = run("refits:measure", config | {"cohort": str(options.cohort), "numbers": numbers}, threads=1)
    for name in options.jobs if options.profile else ():
        print(f"\n{name}\n{found[f'profile of {name}']}")
    rows = [in_units_of_fits(name, found, numbers, options.permutations) for name in options.jobs]
    print_table(rows, "permutations in units of single fits")
    append_csv(options.csv, rows, "refits")


if __name__ == "__main__":
    main()
