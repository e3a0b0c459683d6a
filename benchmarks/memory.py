"""Peak extra memory of learning and of distances, each in a fresh process.

Measured is what `sg.tl.ggml` and `sg.tl.distances` need on top of the AnnData in memory: the peak that the kernel
recorded during the call, less what the process held before it.
"""

import argparse
from typing import Any

import anndata as ad
import numpy as np
from _data import Setting, as_anndata, mixtures, start
from _learn import arguments
from _report import Row, add_csv_option, append_csv, exponent, heading, print_table
from _worker import Gate, Memory, run

import scggml as sg

GROWTH = {"P": [20, 40, 80], "n": [100, 200, 400, 800], "d": [50, 200, 800, 2000]}


def cohort(setting: Setting) -> ad.AnnData:
    """The cells in single precision, filled sample by sample."""
    X = np.empty((setting.P * setting.n, setting.d), dtype=np.float32)
    for p, cloud in enumerate(mixtures(setting.P, setting.n, setting.d)):
        X[p * setting.n : (p + 1) * setting.n] = cloud
    return as_anndata(X, setting.P)


def learn(adata: ad.AnnData, steps: int, init: Any = "canonical", **options: Any) -> None:
    """Plain steps on the triplet objective, or whatever method the options name."""
    method = sg.tl.Triplets(init=init, max_iter=steps, tol=0.0)
    sg.tl.ggml(adata, "sample_id", "label", **({"method": method, "progress": False} | options))


def learning(config: dict[str, Any], gate: Gate) -> dict[str, float]:
    """Peak extra memory of a few steps of learning."""
    setting = Setting(**config["setting"])
    options = arguments(config["options"])
    learn(cohort(Setting(4, 8, setting.d, 2)), 1, n_comps=2, **options)  # imports and compiled code
    adata = cohort(setting)
    gate()
    memory = Memory()
    learn(adata, config["steps"], n_comps=setting.k, n_jobs=config["threads"], **options)
    return {"before": memory.before, "extra": memory.extra}


def distances(config: dict[str, Any], gate: Gate) -> dict[str, float]:
    """Peak extra memory of all distances under a metric that is there."""
    setting = Setting(**config["setting"])
    small, adata = cohort(Setting(4, 8, setting.d, 2)), cohort(setting)
    for cells in (small, adata):
        learn(cells, 1, start(setting.k, setting.d), n_comps=setting.k)
    sg.tl.distances(small, progress=False)
    gate()
    memory = Memory()
    sg.tl.distances(adata, n_jobs=config["threads"], progress=False, **arguments(config["options"]))
    return {"before": memory.before, "extra": memory.extra}


def measure(setting: Setting, config: dict[str, Any]) -> Row:
    """Both for one setting."""
    row: Row = setting._asdict() | {"cells MB": setting.P * setting.n * setting.d * 4 / 2**20}
    for job in ("learning", "distances"):
        own = config | {"setting": setting._asdict(), "options": config[job]}
        row[f"{job} MB"] = run(f"memory:{job}", own, threads=config["threads"])["extra"]
    return row


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="20,200,50,5", metavar="P,n,d,k", help="default 20,200,50,5")
    for axis, sizes in GROWTH.items():
        parser.add_argument(f"--{axis}", nargs="*", type=int, default=sizes, help=f"sizes of {axis}; none to leave out")
    parser.add_argument("--steps", type=int, default=3, help="steps of learning (default 3)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--learning", nargs="*", default=[], metavar="NAME=VALUE", help="arguments of sg.tl.ggml")
    parser.add_argument("--distances", nargs="*", default=[], metavar="NAME=VALUE", help="arguments of sg.tl.distances")
    add_csv_option(parser)
    options = parser.parse_args()

    heading(f"Peak extra memory around P,n,d,k = {options.base}, {options.threads} threads")
    config = {name: getattr(options, name) for name in ("steps", "threads", "learning", "distances")}
    base, growth = Setting(*map(int, options.base.split(","))), list[Row]()
    for axis in GROWTH:
        sizes = sorted(getattr(options, axis))
        rows = [measure(base._replace(**{axis: size}), config) for size in sizes]
        print_table(rows, f"{axis} grows")
        append_csv(options.csv, rows, f"memory {axis}")
        if len(rows) > 1:
            slopes = {
                f"{job} MB": exponent(sizes, [max(row[f"{job} MB"], 0.1) for row in rows])
                for job in ("learning", "distances")
            }
            growth.append({"axis": axis, "from": sizes[0], "to": sizes[-1]} | slopes)
    print_table(growth, "exponents")
    append_csv(options.csv, growth, "memory exponents")


if __name__ == "__main__":
    main()
