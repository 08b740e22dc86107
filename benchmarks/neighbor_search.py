"""What exact neighbor search costs beyond the matrix product it is made of, and how much memory it needs.

Search, the bare products and scikit-learn's brute force run in turn, so that a slow moment of the machine hits all of
them; the first round warms up and is not counted. Two products serve as units: in chunks of 400 queries into memory
that is used again (the fastest there is, and no result is kept), and ``queries @ references.T`` in one piece, result
and all. The loop that broadcasts differences is timed on a slice. Then a child process for itself searches many
neighbors, and tells by how much that raised its peak of resident memory, and how much of this the outputs are.

    python benchmarks/neighbor_search.py [--quick] [--rounds 5] [--queries 40000] [--references 10000] [--width 512]
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import sklearn
import torch
from common import processor
from sklearn.neighbors import NearestNeighbors

from secateur.core.neighbors import search

CHUNK = 400


def chunked_product(queries, references):
    product = torch.empty(CHUNK, len(references))
    for part in queries.split(CHUNK):
        torch.mm(part, references.T, out=product[: len(part)])


def scikit_learn(queries, references, k):
    NearestNeighbors(n_neighbors=k, algorithm="brute").fit(references.numpy()).kneighbors(queries.numpy())


def broadcast_loop(queries, references, k):
    for query in queries:
        (references - query).norm(dim=1).topk(k, largest=False)


def seconds(task: Callable) -> float:
    started = time.perf_counter()
    task()
    return time.perf_counter() - started


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
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(arguments.rounds + 1):
        for name, task in tasks.items():
            taken = seconds(task)
            if number:
                times[name].append(taken)
        print(f"round {number or 'warm-up'} done", flush=True)
    print(f"\n{len(queries):,} x {len(references):,} x {arguments.width}, k={k}, float32, {arguments.rounds} rounds")
    for name, taken in times.items():
        print(f"  {name:26} {spread(taken, ' s')}")
    for unit in ("product, chunked", "product, whole"):
        print(f"times the bare {unit}:")
        for name in [name for name in times if not name.startswith("product")]:
            ratios = [taken / alone for taken, alone in zip(times[name], times[unit], strict=True)]
            print(f"  {name:26} {spread(ratios, 'x')}")
    few = queries[: max(1, len(queries) // 200)]
    loop = seconds(lambda: broadcast_loop(few, references, k)) * len(queries) / len(few)
    print(f"broadcast loop: {loop:.1f} s, from {len(few)} queries, {loop / statistics.median(times[unit]):.0f}x\n")


def measure_memory(num_queries: int, num_references: int, width: int, k: int) -> None:
    """Print by how many bytes one search raises the peak of this process."""
    queries, references = torch.randn(num_queries, width), torch.randn(num_references, width)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    found = search(queries, references, k)
    taken = time.perf_counter() - started
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
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
