"""Rate of false verdicts: how often the report calls one of two equal methods better.

Records of pairs of methods that differ in nothing but the draw of their masks are written, read by the report at its
default settings, and counted in its results.csv:

    accuracy = 0.95 + seed effect + mask effect + noise

The seed effect is shared by the two methods of a pair, mask effect and noise are not; accuracies are whole numbers of
test images. Every verdict "above" or "below" is false.

    python benchmarks/false_verdicts.py [--pairs 2000] [--seed 0]

writes the section "Synthetic records" of docs/results/false_verdicts.md, and the numbers to the JSON file beside it.
    python benchmarks/false_verdicts.py --trained docs/results/equal_draws.json

writes the section "Real trainings" from the accuracies that benchmarks/equal_draws.py measured. Other sections of the
page stay as they are. ``false_verdicts(csv_path)`` counts in the results.csv of any report.
"""

import argparse
import csv
import hashlib
import json
import random
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from scipy.stats import beta

from secateur.core.record import new_record, save_record
from secateur.report.build import build_report

PAGE = Path(__file__).parents[1] / "docs" / "results" / "false_verdicts.md"
TITLE, TRAINED = "Synthetic records", "Real trainings"
NUM_TEST = 360
SEED_SD, MASK_SD, NOISE_SD = 0.004, 0.006, 0.004
NUM_SEEDS = (3, 5, 10)
BATCH = 500  # pairs in one report


@dataclass(frozen=True)
class Rate:
    """Verdicts of one kind.

    Attributes:
        claims: verdicts "above" or "below".
        surviving: those of them that survive Holm's correction over their table.
        comparisons: comparisons that count for a method.
        uncounted: comparisons that hold for one mask only, or have no verdict.
    """

    claims: int
    surviving: int
    comparisons: int
    uncounted: int

    @property
    def rate(self) -> float | None:
        """Share of the comparisons that are claims; None without any comparison."""
        return self.claims / self.comparisons if self.comparisons else None

    @property
    def upper(self) -> float | None:
        """Upper end of the two-sided 95 % interval of Clopper and Pearson."""
        return upper_bound(self.claims, self.comparisons) if self.comparisons else None


def upper_bound(count: int, total: int) -> float:
    """Return the upper end of the two-sided 95 % interval of a rate, by Clopper and Pearson."""
    return 1.0 if count == total else float(beta.ppf(0.975, count + 1, total - count))


def false_verdicts(path: Path, which: str = "baseline") -> Rate:
    """Count the verdicts in a report's results.csv in which every claim is false.

    Args:
        path: results.csv of any report on methods that are equal.
        which: ``baseline`` or ``full``: what they are compared with.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row[f"vs_{which}_n"] and int(row[f"vs_{which}_n"]) > 1]
    counted = [row for row in rows if row["counts"] == "True" and not row[f"verdict_{which}"].endswith(")")]
    claims = [row for row in counted if row[f"verdict_{which}"].split(" ")[0] in ("above", "below")]
    surviving = [row for row in claims if float(row[f"vs_{which}_p_holm"]) < 0.05]
    return Rate(len(claims), len(surviving), len(counted), len(rows) - len(counted))


def draw_pair(source: random.Random, num_seeds: int, *, one_mask: bool) -> tuple[list[float], list[float]]:
    """Return the accuracies of two equal methods, one per seed; with one mask each, its effect is the same for all."""
    seeds = [source.gauss(0, SEED_SD) for _ in range(num_seeds)]
    pair = []
    for _ in range(2):
        masks = [source.gauss(0, MASK_SD) for _ in range(1 if one_mask else num_seeds)]
        effects = masks * num_seeds if one_mask else masks
        values = [0.95 + s + m + source.gauss(0, NOISE_SD) for s, m in zip(seeds, effects, strict=True)]
        pair.append([round(min(value, 1.0) * NUM_TEST) / NUM_TEST for value in values])
    return pair[0], pair[1]


def records_of(table: str, method: str, accuracies: Sequence[float], fixed: bool) -> Iterator[dict[str, Any]]:
    """Yield the records of one method at 80 % pruned; with ``fixed`` all seeds have one score seed and one mask."""
    for seed, accuracy in enumerate(accuracies):
        score_seed = 0 if fixed else seed
        record = new_record(status="finished", seed=seed, score_seed=score_seed, config={}, finished="2026-01-01")
        record["started"] = "2026-01-01"
        record["run_key"] = f"{table}-{method}-{seed}"
        record["data"].update(name=table, fingerprint=table, num_test=NUM_TEST)
        record["models"].update(final="synthetic")
        mask = hashlib.sha256(f"{table} {method} {score_seed}".encode()).hexdigest()
        record["pruning"].update(
            method=method,
            variant="reference",
            pruning_ratio=0.8,
            realized_pruning_ratio=0.8,
            keep_fraction=0.2,
            mask_sha256=mask,
            given=False,
            per_epoch=False,
        )
        record["metrics"].update(test_accuracy=accuracy)
        record["ledger"].update(cost_vs_full=0.2, cost_vs_full_amortized=0.2)
        yield record


def report_on(pairs: Iterable[tuple[list[float], list[float]]], folder: Path, fixed: tuple[bool, bool]) -> Rate:
    """Write the records of pairs, each as a table of its own, build the report, and count its verdicts.

    Args:
        pairs: accuracies of the method and of the random baseline.
        folder: an empty folder.
        fixed: whether the method, and the baseline, have one mask for all seeds.
    """
    for number, values in enumerate(pairs):
        table = f"pair-{number:05d}"
        for method, accuracies, one in zip(("tested", "random"), values, fixed, strict=True):
            for record in records_of(table, method, accuracies, one):
                save_record(folder / "runs" / record["run_key"], record)
    build_report([folder / "runs"], folder / "report", formats=["csv"], figure_formats=[])
    return false_verdicts(folder / "report" / "results.csv")


def simulate(num_pairs: int, num_seeds: int, seed: int, *, one_mask: bool, fixed: tuple[bool, bool]) -> Rate:
    """Return the verdicts on some pairs of equal methods.

    Args:
        num_pairs: how many.
        num_seeds: training seeds of each method.
        seed: of the simulation.
        one_mask: whether the accuracies are of one mask per method; otherwise each seed has its own.
        fixed: what the records say of method and baseline, see :func:`report_on`.
    """
    source = random.Random(f"{seed} {num_seeds} {one_mask}")
    parts = []
    for start in range(0, num_pairs, BATCH):
        pairs = [draw_pair(source, num_seeds, one_mask=one_mask) for _ in range(min(BATCH, num_pairs - start))]
        with tempfile.TemporaryDirectory() as folder:
            parts.append(report_on(pairs, Path(folder), fixed))
    return Rate(*(sum(getattr(part, name) for part in parts) for name in Rate.__dataclass_fields__))


def trained_section(path: Path) -> tuple[str, Rate]:
    """Return the section of the page on real trainings, and the verdicts on them.

    Args:
        path: what benchmarks/equal_draws.py wrote: correct test images ``[pairs][arm][seed]``, and what was trained.
    """
    about = json.loads(path.read_text(encoding="utf-8"))
    num_test, num_seeds = about["num_test"], about["seeds_per_pair"]
    pairs = [tuple([count / num_test for count in arm] for arm in pair) for pair in about["pairs"]]
    with tempfile.TemporaryDirectory() as folder:
        rate = report_on(pairs, Path(folder), (False, False))  # type: ignore[arg-type]
    means = [fmean(arm) for pair in pairs for arm in pair]
    lines = [
        f"{len(pairs)} pairs of trainings on random subsets of {about['data']} ({100 * about['pruning_ratio']:g} % "
        f"pruned, {about['epochs']} epochs, {num_test} test images): both arms of a pair have the same {num_seeds} "
        "training seeds and differ in nothing but the draws of their subsets, one per seed. No two pairs share a seed. "
        f"Mean accuracy {100 * fmean(means):.1f} %. {about['hardware']}, torch {about['torch']}.",
        "",
        "| design | seeds | counted comparisons | false verdicts | rate | upper 95 % bound |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        f"| a mask per seed | {num_seeds} | {rate.comparisons} | {rate.claims} | {100 * (rate.rate or 0):.1f} % | "
        f"{100 * (rate.upper or 1):.1f} % |",
        "",
        f"Trained by `python benchmarks/equal_draws.py --pairs {len(pairs)}` (accuracies in `{path.name}`), counted by "
        f"`python benchmarks/false_verdicts.py --trained docs/results/{path.name}`.",
    ]
    return "\n".join(lines), rate


DESIGNS = {
    "a mask per seed": {"one_mask": False, "fixed": (False, False)},
    "one mask per method, recorded as such": {"one_mask": True, "fixed": (True, True)},
    "one mask per method, taken for a mask per seed": {"one_mask": True, "fixed": (False, False)},
}


def section(results: dict[str, dict[int, Rate]], num_pairs: int, seed: int) -> str:
    """Return the section of the page."""
    lines = [
        f"{num_pairs:,} pairs of equal methods per row, run through `secateur report` at its default settings: "
        "accuracy = 0.95 + seed effect (shared by the pair) + mask effect + noise, with standard deviations of "
        f"{100 * SEED_SD:g}, {100 * MASK_SD:g} and {100 * NOISE_SD:g} points, in whole images of a test set of "
        f'{NUM_TEST}. Every "above" or "below" is false; the level is 5 %.',
        "",
        "| design | seeds | counted comparisons | false verdicts | rate | upper 95 % bound |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for design, by_seeds in results.items():
        for num_seeds, rate in by_seeds.items():
            share = "0 % (none can be said)" if rate.rate is None else f"{100 * rate.rate:.1f} %"
            bound = "-" if rate.upper is None else f"{100 * rate.upper:.1f} %"
            lines.append(f"| {design} | {num_seeds} | {rate.comparisons} | {rate.claims} | {share} | {bound} |")
    lines += [
        "",
        "The last design is what the report would say if it did not tell masks apart: the seeds then count one draw n "
        "times, and more seeds make it worse. Where the records say that all seeds have one mask, there is no verdict "
        "that counts for a method.",
        "",
        f"Made by `python benchmarks/false_verdicts.py --pairs {num_pairs} --seed {seed}`; numbers in "
        "`false_verdicts.json`.",
    ]
    return "\n".join(lines)


def replace_section(page: str, title: str, body: str) -> str:
    """Return a page in which the section with a title has another body; it is added where there is none."""
    block = f"## {title}\n\n{body}\n"
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    if pattern.search(page):
        return pattern.sub(lambda _: f"{block}\n", page).rstrip("\n") + "\n"
    return f"{page.rstrip()}\n\n{block}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=2000, help="pairs of equal methods per design (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the simulation (default: 0)")
    parser.add_argument("--trained", type=Path, help="count in accuracies of real trainings instead")
    arguments = parser.parse_args()
    if arguments.trained:
        body, rate = trained_section(arguments.trained)
        print(rate, f"upper 95 % bound {rate.upper:.3f}")
        PAGE.write_text(replace_section(PAGE.read_text(encoding="utf-8"), TRAINED, body), encoding="utf-8")
        return
    results: dict[str, dict[int, Rate]] = {}
    for name, design in DESIGNS.items():
        results[name] = {}
        for num_seeds in NUM_SEEDS:
            results[name][num_seeds] = simulate(arguments.pairs, num_seeds, arguments.seed, **design)
            print(name, num_seeds, results[name][num_seeds], flush=True)
    page = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else "# False verdicts\n"
    body = section(results, arguments.pairs, arguments.seed)
    PAGE.write_text(replace_section(page, TITLE, body), encoding="utf-8")
    numbers_path = PAGE.with_suffix(".json")
    numbers = json.loads(numbers_path.read_text(encoding="utf-8")) if numbers_path.is_file() else {}
    numbers["synthetic"] = {
        "pairs": arguments.pairs,
        "seed": arguments.seed,
        "sd": {"seed": SEED_SD, "mask": MASK_SD, "noise": NOISE_SD},
        "num_test": NUM_TEST,
        "designs": {
            name: {
                str(num_seeds): {**vars(rate), "rate": rate.rate, "upper_95": rate.upper}
                for num_seeds, rate in by_seeds.items()
            }
            for name, by_seeds in results.items()
        },
    }
    numbers_path.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
