"""What exact neighbor search costs beyond the matrix product it is made of, and how much memory it needs.

Search, the bare products and scikit-learn's brute force run in turn, so that a slow moment of the machine hits all of
them; the first round warms up and is not counted. Elapsed time is what a user feels; the processor time of the same
runs has less of what else the machine did. Two products serve as units: in chunks of 800 queries into memory
that is used again (the fastest there is, and no result is kept), and ``queries @ references.T`` in one piece, result
and all. The loop that broadcasts differences is timed on a slice. Then a child process for itself searches many
neighbors, and tells by how much that raised its peak of resident memory, and how much of this the outputs are.

    python benchmarks/neighbor_search.py [--quick] [--rounds 5] [--queries 40000] [--references 10000] [--width 512]
"""

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import sklearn
import torch
from sklearn.neighbors import NearestNeighbors

from secateur.core.neighbors import search
from secateur.tracking.provenance import processor

CHUNK = 800


def chunked_product(queries, references):
    product = torch.empty(CHUNK, len(references))
    for part in queries.split(CHUNK):
        torch.mm(part, references.T, out=product[: len(part)])


def scikit_learn(queries, references, k):
    NearestNeighbors(n_neighbors=k, algorithm="brute").fit(references.numpy()).kneighbors(queries.numpy())


def broadcast_loop(queries, references, k):
    for query in queries:
        (references - query).norm(dim=1).topk(k, largest=False)


def seconds(task: Callable) -> tuple[float, float]:
    """Return the elapsed time and the processor time of one call."""
    started, worked = time.perf_counter(), time.process_time()
    task()
    return time.perf_counter() - started, time.process_time() - worked


def spread(values: list[float], unit: str) -> str:
    return f"median {statistics.median(values):.2f}{unit}, min {min(values):.2f}{unit}, max {max(values):.2f}{unit}"


def compare(arguments: argparse.Namespace) -> None:
    """Time everything in turn, and print ratios within the rounds."""
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(arguments.queries, arguments.width, generator=generator)
    references = torch.randn(arguments.references, arguments.width, generator=generator)
    k = arguments.neighbors
    tasks = {
        "product, chunked": lambda: chunked_product(queries, references),
        "search, euclidean": lambda: search(queries, references, k),
        "product, whole": lambda: queries @ references.T,
        "search, cosine": lambda: search(queries, references, k, "cosine"),
    }
    if not arguments.no_sklearn:
        tasks["scikit-learn brute force"] = lambda: scikit_learn(queries, references, k)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in tasks}
    for number in range(arguments.rounds + 1):
        for name, task in tasks.items():
            taken = seconds(task)
            if number:
                times[name].append(taken)
        print(f"round {number or 'warm-up'} done", flush=True)
    print(f"\n{len(queries):,} x {len(references):,} x {arguments.width}, k={k}, float32, {arguments.rounds} rounds")
    for clock, what in enumerate(("elapsed", "processor")):
        for name, taken in times.items():
            print(f"  {what} time, {name:24} {spread([pair[clock] for pair in taken], ' s')}")
        for unit in ("product, chunked", "product, whole"):
            for name in [name for name in times if not name.startswith("product")]:
                ratios = [mine[clock] / bare[clock] for mine, bare in zip(times[name], times[unit], strict=True)]
                print(f"  {what} time, {name:24} {spread(ratios, 'x')} the {unit}")
    few = queries[: max(1, len(queries) // 200)]
    loop = seconds(lambda: broadcast_loop(few, references, k))[1] * len(queries) / len(few)
    whole = statistics.median(worked for _, worked in times["product, whole"])
    print(f"broadcast loop: {loop:.1f} s, from {len(few)} queries; {loop / whole:.0f}x the product, whole\n")


def resident(field: str) -> int:
    """Return this process' resident bytes now (VmRSS) or at their peak (VmHWM).

    Where there is no /proc it is the peak of getrusage, which on Linux would hold that of the parent process too.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(re.search(rf"{field}:\s+(\d+) kB", status.read_text())[1]) * 1024


def measure_memory(num_queries: int, num_references: int, width: int, k: int) -> None:
    """Print by how many bytes one search raises the peak of this process."""
    queries, references = torch.randn(num_queries, width), torch.randn(num_references, width)
    before = resident("VmRSS")
    started = time.perf_counter()
    found = search(queries, references, k)
    taken = time.perf_counter() - started
    peak = resident("VmHWM") - before
    print(json.dumps({"peak": peak, "outputs": found.ids.nbytes + found.distances.nbytes, "seconds": taken}))


def report_memory(sizes: list[int]) -> None:
    """Measure in a child process, whose peak has nothing else in it."""
    command = [sys.executable, __file__, "--threads", str(torch.get_num_threads()), "--memory-of", *map(str, sizes)]
    result = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    beyond = (result["peak"] - result["outputs"]) / 2**20
    print(
        f"{sizes[0]:,} x {sizes[1]:,} x {sizes[2]}, k={sizes[3]}: {result['seconds']:.1f} s, peak {beyond:.0f} MiB "
        f"beyond inputs and outputs ({result['outputs'] / 2**20:.0f} MiB)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds, one more warms up")
    parser.add_argument("--queries", type=int, default=40_000)
    parser.add_argument("--references", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=512, help="features")
    parser.add_argument("--neighbors", type=int, default=20, help="k")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--no-sklearn", action="store_true", help="leave scikit-learn out")
    parser.add_argument("--quick", action="store_true", help="a tenth of the queries, a quarter of the memory run")
    parser.add_argument("--memory-of", type=int, nargs=4, metavar=("Q", "M", "D", "K"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.memory_of:
        measure_memory(*arguments.memory_of)
        return
    if arguments.quick:
        arguments.queries //= 10
    compare(arguments)
    report_memory([50_000 if arguments.quick else 200_000, 40_000, 64, arguments.neighbors])
    print(
        f"{processor()}, {len(os.sched_getaffinity(0))} cores, torch threads {torch.get_num_threads()}; Python "
        f"{platform.python_version()}, torch {torch.__version__}, scikit-learn {sklearn.__version__}"
    )


if __name__ == "__main__":
    main()
