"""Rate of false verdicts: how often the report calls one of two equal methods better.

Records of pairs of methods that differ in nothing but the draw of their masks are written, read by the report at its
default settings, and counted in its results.csv:

    accuracy = 0.95 + seed effect + mask effect + noise

The seed effect is shared by the two methods of a pair, mask effect and noise are not; accuracies are whole numbers of
test images. Every verdict "above" or "below" is false. In a crossed design the method trains every one of its masks
with every seed, and the random baseline draws one subset per seed.

    python benchmarks/false_verdicts.py [--pairs 2000] [--crossed-pairs 200] [--seed 0]

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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from scipy.stats import beta

from secateur.core.files import write_json
from secateur.core.record import FILE_NAME, new_record
from secateur.report.build import build_report

PAGE = Path(__file__).parents[1] / "docs" / "results" / "false_verdicts.md"
TITLE, TRAINED = "Synthetic records", "Real trainings"
NUM_TEST = 360
SEED_SD, MASK_SD, NOISE_SD = 0.004, 0.006, 0.004
NUM_SEEDS = (3, 5, 10)
NUM_CROSSED = ((3, 3), (5, 3), (10, 3), (20, 3))  # seeds and masks of the crossed design
BATCH = 500  # pairs in one report
Accuracies = Mapping[tuple[int, int], float]  # by training seed and number of the mask


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
        pair.append([_accuracy(source, s + m) for s, m in zip(seeds, effects, strict=True)])
    return pair[0], pair[1]


def draw_crossed(source: random.Random, num_seeds: int, num_masks: int) -> tuple[Accuracies, Accuracies]:
    """Return the accuracies of a method that trains every mask with every seed, and of one random subset per seed."""
    seeds = [source.gauss(0, SEED_SD) for _ in range(num_seeds)]
    masks = [source.gauss(0, MASK_SD) for _ in range(num_masks)]
    tested = {(i, j): _accuracy(source, s + m) for i, s in enumerate(seeds) for j, m in enumerate(masks)}
    drawn = {(i, 0): _accuracy(source, s + source.gauss(0, MASK_SD)) for i, s in enumerate(seeds)}
    return tested, drawn


def _accuracy(source: random.Random, effect: float) -> float:
    value = 0.95 + effect + source.gauss(0, NOISE_SD)
    return round(min(value, 1.0) * NUM_TEST) / NUM_TEST


def by_mask(accuracies: Sequence[float], fixed: bool) -> Accuracies:
    """Return accuracies of one training per seed by seed and mask; with ``fixed`` all seeds have one mask."""
    return {(seed, 0 if fixed else seed): accuracy for seed, accuracy in enumerate(accuracies)}


def records_of(table: str, method: str, accuracies: Accuracies, *, per_seed: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the records of one method at 80 % pruned.

    Args:
        table: name of the data set.
        method: name of the method.
        accuracies: by training seed and mask; the mask is the score seed.
        per_seed: the method draws another mask for every training seed, whatever the score seed is.
    """
    for (seed, score_seed), accuracy in accuracies.items():
        made = new_record(status="finished", seed=seed, score_seed=score_seed, config={}, finished="2026-01-01")
        record = made.to_json()
        record["started"] = "2026-01-01"
        record["run_key"] = f"{table}-{method}-{seed}-{score_seed}"
        record["data"].update(name=table, fingerprint=table, num_test=NUM_TEST)
        record["models"].update(final="synthetic")
        drawn_by = ["seed", "score_seed"] if per_seed else ["score_seed"]
        draw = " ".join(str(record[name]) for name in drawn_by)
        record["pruning"].update(
            method=method,
            variant="reference",
            pruning_ratio=0.8,
            realized_pruning_ratio=0.8,
            keep_fraction=0.2,
            mask_sha256=hashlib.sha256(f"{table} {method} {draw}".encode()).hexdigest(),
            given=False,
            drawn_by=drawn_by,
            per_epoch=False,
        )
        record["metrics"].update(test_accuracy=accuracy)
        record["ledger"].update(cost_vs_full=0.2, cost_vs_full_amortized=0.2)
        yield record


def report_on(pairs: Iterable[tuple[Accuracies, Accuracies]], folder: Path, *, per_seed: bool = False) -> Rate:
    """Write the records of pairs, each as a table of its own, build the report, and count its verdicts.

    Args:
        pairs: accuracies of the method and of the random baseline.
        folder: an empty folder.
        per_seed: the baseline draws another mask for every training seed, whatever its score seed is.
    """
    for number, (tested, drawn) in enumerate(pairs):
        table = f"pair-{number:05d}"
        records = [*records_of(table, "tested", tested), *records_of(table, "random", drawn, per_seed=per_seed)]
        for record in records:
            write_json(folder / "runs" / record["run_key"] / FILE_NAME, record)
    build_report([folder / "runs"], folder / "report", formats=["csv"], figure_formats=[])
    return false_verdicts(folder / "report" / "results.csv")


def simulate(num_pairs: int, num_seeds: int, seed: int, *, one_mask: bool, fixed: tuple[bool, bool]) -> Rate:
    """Return the verdicts on some pairs of equal methods.

    Args:
        num_pairs: how many.
        num_seeds: training seeds of each method.
        seed: of the simulation.
        one_mask: whether the accuracies are of one mask per method; otherwise each seed has its own.
        fixed: whether the records say that the method, and the baseline, have one mask for all seeds.
    """
    source = random.Random(f"{seed} {num_seeds} {one_mask}")

    def pair() -> tuple[Accuracies, Accuracies]:
        tested, drawn = draw_pair(source, num_seeds, one_mask=one_mask)
        return by_mask(tested, fixed[0]), by_mask(drawn, fixed[1])

    return _reported(num_pairs, pair)


def simulate_crossed(num_pairs: int, num_seeds: int, num_masks: int, seed: int) -> Rate:
    """Return the verdicts on pairs of a crossed method and a random baseline with one subset per seed.

    Args:
        num_pairs: how many.
        num_seeds: training seeds of both.
        num_masks: masks of the method, each trained with every seed.
        seed: of the simulation.
    """
    source = random.Random(f"{seed} {num_seeds} crossed {num_masks}")
    return _reported(num_pairs, lambda: draw_crossed(source, num_seeds, num_masks), per_seed=True)


def _reported(num_pairs: int, pair: Callable[[], tuple[Accuracies, Accuracies]], *, per_seed: bool = False) -> Rate:
    """Return the verdicts on so many pairs, of some hundred in one report at a time."""
    parts = []
    for start in range(0, num_pairs, BATCH):
        pairs = [pair() for _ in range(min(BATCH, num_pairs - start))]
        with tempfile.TemporaryDirectory() as folder:
            parts.append(report_on(pairs, Path(folder), per_seed=per_seed))
    return Rate(*(sum(getattr(part, name) for part in parts) for name in Rate.__dataclass_fields__))


def trained_section(path: Path) -> tuple[str, Rate]:
    """Return the section of the page on real trainings, and the verdicts on them.

    Args:
        path: what benchmarks/equal_draws.py wrote: correct test images ``[pairs][arm][seed]``, and what was trained.
    """
    about = json.loads(path.read_text(encoding="utf-8"))
    num_test, num_seeds = about["num_test"], about["seeds_per_pair"]
    pairs = [tuple(by_mask([count / num_test for count in arm], False) for arm in pair) for pair in about["pairs"]]
    with tempfile.TemporaryDirectory() as folder:
        rate = report_on(pairs, Path(folder))  # type: ignore[arg-type]
    means = [fmean(arm.values()) for pair in pairs for arm in pair]
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


TAKEN = "one mask per method, taken for a mask per seed"
DESIGNS = {
    "a mask per seed": {"one_mask": False, "fixed": (False, False)},
    "one mask per method, recorded as such": {"one_mask": True, "fixed": (True, True)},
    TAKEN: {"one_mask": True, "fixed": (False, False)},
}


CROSSED = "every mask with every seed, against a random subset per seed"


def section(results: dict[str, dict[str, Rate]], num_pairs: int, crossed_pairs: int, seed: int) -> str:
    """Return the section of the page."""
    lines = [
        f"{num_pairs:,} pairs of equal methods per row ({crossed_pairs:,} of the crossed design), run through "
        "`secateur report` at its default settings: "
        "accuracy = 0.95 + seed effect (shared by the pair) + mask effect + noise, with standard deviations of "
        f"{100 * SEED_SD:g}, {100 * MASK_SD:g} and {100 * NOISE_SD:g} points, in whole images of a test set of "
        f'{NUM_TEST}. Every "above" or "below" is false; the level is 5 %.',
        "",
        "| design | seeds | counted comparisons | false verdicts | rate | upper 95 % bound |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for design, by_seeds in results.items():
        for seeds, rate in by_seeds.items():
            share = "0 % (none can be said)" if rate.rate is None else f"{100 * rate.rate:.1f} %"
            bound = "-" if rate.upper is None else f"{100 * rate.upper:.1f} %"
            lines.append(f"| {design} | {seeds} | {rate.comparisons} | {rate.claims} | {share} | {bound} |")
    lines += [
        "",
        f'"{TAKEN}" is what the report would say if it did not tell masks apart: the seeds then count one draw n '
        "times, and more seeds make it worse. Where the records say that all seeds have one mask, there is no verdict "
        "that counts for a method. In the crossed design the method's masks and the training seeds recur, so the error "
        "is clustered by both.",
        "",
        f"Made by `python benchmarks/false_verdicts.py --pairs {num_pairs} --crossed-pairs {crossed_pairs} "
        f"--seed {seed}`; numbers in `false_verdicts.json`.",
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
    parser.add_argument("--crossed-pairs", type=int, default=200, help="pairs per crossed design (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the simulation (default: 0)")
    parser.add_argument("--trained", type=Path, help="count in accuracies of real trainings instead")
    arguments = parser.parse_args()
    if arguments.trained:
        body, rate = trained_section(arguments.trained)
        print(rate, f"upper 95 % bound {rate.upper:.3f}")
        PAGE.write_text(replace_section(PAGE.read_text(encoding="utf-8"), TRAINED, body), encoding="utf-8")
        return
    results: dict[str, dict[str, Rate]] = {}
    for name, design in DESIGNS.items():
        results[name] = {}
        for num_seeds in NUM_SEEDS:
            results[name][str(num_seeds)] = simulate(arguments.pairs, num_seeds, arguments.seed, **design)
            print(name, num_seeds, results[name][str(num_seeds)], flush=True)
    results[CROSSED] = {}
    for num_seeds, num_masks in NUM_CROSSED:
        rate = simulate_crossed(arguments.crossed_pairs, num_seeds, num_masks, arguments.seed)
        results[CROSSED][f"{num_seeds} x {num_masks} masks"] = rate
        print(CROSSED, num_seeds, num_masks, rate, flush=True)
    page = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else "# False verdicts\n"
    body = section(results, arguments.pairs, arguments.crossed_pairs, arguments.seed)
    PAGE.write_text(replace_section(page, TITLE, body), encoding="utf-8")
    numbers_path = PAGE.with_suffix(".json")
    numbers = json.loads(numbers_path.read_text(encoding="utf-8")) if numbers_path.is_file() else {}
    numbers["synthetic"] = {
        "pairs": arguments.pairs,
        "crossed_pairs": arguments.crossed_pairs,
        "seed": arguments.seed,
        "sd": {"seed": SEED_SD, "mask": MASK_SD, "noise": NOISE_SD},
        "num_test": NUM_TEST,
        "designs": {
            name: {seeds: {**vars(rate), "rate": rate.rate, "upper_95": rate.upper} for seeds, rate in by_seeds.items()}
            for name, by_seeds in results.items()
        },
    }
    numbers_path.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
