"""run.json, schema 1: what was run, what came out, what it cost. The source of truth of every report."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from secateur.core.block import (
    NULL_LIST,
    NULL_MAPPING,
    Block,
    Cost,
    Count,
    Flag,
    Integer,
    Mark,
    Number,
    Ratio,
    Seeds,
    Share,
    Size,
    Status,
    Text,
    shown,
)
from secateur.core.errors import DataError
from secateur.core.files import read_document, write_bytes, write_json
from secateur.core.ledger import StageCost

SCHEMA = 1
FILE_NAME = "run.json"
KEPT = "run.previous.json"  # the finished record of before, while the run is made again and its files are untouched

FIRST, KNOWN, LATER, FILTER, SUMMARY = Mark.FIRST, Mark.KNOWN, Mark.LATER, Mark.FILTER, Mark.SUMMARY


class DataFacts(Block):
    """The data set whose training samples are pruned.

    Attributes:
        name: its name.
        class_names: the name of each class.
        num_train: size N of the pool, the training samples that may be kept.
        num_validation: number of validation samples.
        num_test: number of test samples.
        num_classes: number of classes.
        fingerprint: hash of the pool's images and labels.
        evaluation_fingerprint: hash of the validation and test samples.
        num_flipped: number of pool samples whose label was changed on purpose.
    """

    name: Annotated[str | None, FIRST] = None
    class_names: list[str] | None = None
    num_train: Count | None = None
    num_validation: Count | None = None
    num_test: Size | None = None
    num_classes: Size | None = None
    fingerprint: Annotated[str | None, FIRST] = None
    evaluation_fingerprint: str | None = None
    num_flipped: Count | None = None


class Models(Block):
    """The networks.

    Attributes:
        scoring: name of the one that measures the samples; None where nothing is measured.
        final: name of the one that is trained on the kept samples.
    """

    scoring: Annotated[str | None, FIRST] = None
    final: Annotated[str | None, FIRST] = None


class Pruning(Block):
    """How the samples were chosen, and what is kept; a method may add further keys.

    Attributes:
        method: option of ``method=``.
        score: option of ``score=``.
        extrapolation: option of ``extrapolation=``.
        selection: option of ``selection=``.
        variant: variant of the paper's settings.
        pruning_ratio: share of the pool to leave out, as asked for.
        realized_pruning_ratio: share of the pool, or of the visits of all epochs, that was left out.
        keep_fraction: share of the pool that is kept for good.
        num_total: size N of the pool.
        num_kept: number of samples that are kept for good.
        num_groups: number of groups that were ranked.
        num_groups_kept: number of groups that are kept.
        num_zero_vote_groups: number of groups without a vote.
        order_r2: share of the variance of the scores' ranks that the order of the training explains.
        class_counts: kept samples of each class.
        observed_share: share of the kept samples whose score was measured, not predicted.
        flipped_share_kept: share of the kept samples whose label was changed on purpose.
        flipped_share_pruned: the same of the samples that were left out.
        mask_sha256: hash of the mask.
        given: the mask, or the scores it was selected from, came from a file.
        drawn_by: the seeds that decide the mask.
        per_epoch: another subset was trained on in every epoch.
        visited_share: with ``per_epoch`` the visits over N times epochs.
        num_seen: with ``per_epoch`` the number of distinct samples that were trained on.
        visits_sha256: hash of the samples of all epochs.
        reads_ratio: whether the run read ``pruning_ratio``; None: it did.
        follows_ratio: whether what is kept stands for ``pruning_ratio``; None: it does.
        index: of AdaPruner, how samples are numbered.
        select_on: of AdaPruner, which epoch's mask is taken.
        exact_ratio: of AdaPruner, whether exactly the asked ratio is left out.
        finetune: of AdaPruner, whether the jointly trained network is trained on.
        num_zero_vote_groups_kept: number of kept groups without a vote.
        first_groups: names of the groups that are ranked first.
        last_groups: names of the groups that are ranked last.
        modifiers: words for what is not the method's default.
    """

    method: Annotated[str | None, FIRST] = None
    score: Annotated[str | None, FIRST] = None
    extrapolation: Annotated[str | None, FIRST] = None
    selection: Annotated[str | None, FIRST] = None
    variant: Annotated[str | None, FILTER] = None
    pruning_ratio: Ratio | None = None
    realized_pruning_ratio: Annotated[Share | None, FILTER, SUMMARY] = None
    keep_fraction: Annotated[Share | None, FILTER, SUMMARY] = None
    num_total: Annotated[Size | None, FIRST, FILTER] = None
    num_kept: Annotated[Size | None, FIRST, FILTER, SUMMARY] = None
    num_groups: Count | None = None
    num_groups_kept: Annotated[Count | None, SUMMARY] = None
    num_zero_vote_groups: Count | None = None
    order_r2: Number | None = None
    class_counts: list[Count] | None = None
    observed_share: Annotated[Share | None, SUMMARY] = None
    flipped_share_kept: Annotated[Share | None, SUMMARY] = None
    flipped_share_pruned: Annotated[Share | None, SUMMARY] = None
    mask_sha256: Annotated[Text | None, FIRST] = None
    given: Annotated[Flag | None, FILTER] = None
    drawn_by: Seeds | None = None
    per_epoch: Annotated[Flag | None, FILTER] = None
    visited_share: Annotated[Share | None, FILTER, SUMMARY] = None
    num_seen: Annotated[Size | None, FILTER, SUMMARY] = None
    visits_sha256: Text | None = None
    reads_ratio: Flag | None = None
    follows_ratio: Flag | None = None
    index: Annotated[str | None, LATER] = None
    select_on: Annotated[str | None, LATER] = None
    exact_ratio: Annotated[Flag | None, LATER] = None
    finetune: Annotated[Flag | None, LATER] = None
    num_zero_vote_groups_kept: Annotated[Count | None, LATER] = None
    first_groups: Annotated[list[str] | None, LATER] = None
    last_groups: Annotated[list[str] | None, LATER] = None
    modifiers: Annotated[list[str] | None, LATER] = None


class Transfer(Block):
    """The downstream data set; all is None without one.

    Attributes:
        source: name of the data set that is pruned.
        downstream: name of the downstream set.
        finetune: how the network was adapted: ``linear_probe``, ``full``.
        num_train: number of its training samples.
        num_validation: number of its validation samples.
        num_test: number of its test samples.
        num_classes: number of its classes.
        fingerprint: hash of its training samples.
        evaluation_fingerprint: hash of its validation and test samples.
        surrogate_cost_vs_full: cost of the stages that belong to the source alone, in full trainings.
        cost_vs_full_shared: cost of the run if as many downstream sets as the key says share these stages.
    """

    source: Annotated[str | None, FIRST] = None
    downstream: Annotated[str | None, FIRST] = None
    finetune: list[str] | None = None
    num_train: Annotated[Count | None, LATER] = None
    num_validation: Annotated[Count | None, LATER] = None
    num_test: Annotated[Count | None, LATER] = None
    num_classes: Annotated[Size | None, LATER] = None
    fingerprint: Annotated[str | None, LATER] = None
    evaluation_fingerprint: Annotated[str | None, LATER] = None
    surrogate_cost_vs_full: Annotated[Cost | None, LATER] = None
    cost_vs_full_shared: Annotated[dict[str, Number] | None, LATER] = None


class ByRatio(Block):
    """The kept set of predicted scores against that of a full scoring, at one ratio.

    Attributes:
        pruning_ratio: share of the pool that is left out.
        recall: share of the true kept set that is kept.
        chance: the recall of a random set.
        jaccard: intersection over union.
        jaccard_chance: the same of a random set.
        observed_share: share of the kept samples whose score was measured.
    """

    recall: Number | None = None
    chance: Number | None = None
    jaccard: Number | None = None
    jaccard_chance: Number | None = None
    pruning_ratio: Ratio
    observed_share: Number | None = None


class SeedLevel(Block):
    """Scores against those of a full scoring by another seed, see :class:`secateur.extrapolation.fidelity.Fidelity`.

    Attributes:
        num_compared: number of samples.
        pearson: linear correlation.
        spearman: rank correlation.
        observed_pearson: linear correlation on the measured samples.
        observed_spearman: rank correlation on these.
        tail_fraction: share of the samples that counts as a tail.
        bottom_recall: share of the true lowest tail that is in the predicted one.
        ks: largest difference of the two distribution functions.
        wasserstein: mean difference of the sorted scores, in units of the score.
        spread_ratio: standard deviation of the predicted scores over that of the true ones.
        predicted_quantiles: values of the predicted scores by their quantile.
        true_quantiles: values of the true scores, likewise.
        tail_recall: share of the true highest tail that is in the predicted one.
        tail_chance: the same of random scores.
        by_ratio: one entry per pruning ratio.
    """

    num_compared: Number | None = None
    pearson: Number | None = None
    spearman: Number | None = None
    observed_pearson: Number | None = None
    observed_spearman: Number | None = None
    tail_fraction: Number | None = None
    bottom_recall: Number | None = None
    ks: Number | None = None
    wasserstein: Number | None = None
    spread_ratio: Number | None = None
    predicted_quantiles: dict[str, Number | None] | None = None
    true_quantiles: dict[str, Number | None] | None = None
    tail_recall: Number | None = None
    tail_chance: Number | None = None
    by_ratio: Annotated[list[ByRatio], NULL_LIST] = []


class FullScoring(Block):
    """A full scoring.

    Attributes:
        score_seed: its seed.
    """

    score_seed: Integer


class Fidelity(SeedLevel, FullScoring):
    """Predicted scores against one full scoring, whose seed is written first."""


class Extrapolation(Block):
    """How scores were predicted, and how good they are; nothing is set where none were.

    Attributes:
        subset_fraction: share of the pool that was scored.
        subset_epochs_factor: length of the subset's training, in units of the default.
        merge: how measured and predicted scores are brought together.
        subset_epochs: epochs of that training.
        num_observed: number of samples that were scored.
        num_predicted: number of the others.
        chosen: the candidate that cross-validation chose; None without one.
        trace: every candidate of the cross-validation.
        cost_choosing_vs_full: cost of all that only decides the mask, in full trainings.
        cost_vs_full_scoring: the same in full scorings; None where there is no such scoring.
        ks: distance of the predictions from the measured scores.
        wasserstein: the same, in units of the score.
        criterion: what the cross-validation compared.
        num_folds: number of its folds.
        neighbors: how near and how many the neighbors are that predict.
        control: whether the extrapolator says of itself that it is a control.
        fidelity: one entry per full scoring that the scores were compared with.
        seed_level: the mean over the pairs of full scorings; None with fewer than two.
    """

    subset_fraction: Annotated[Share | None, LATER] = None
    subset_epochs_factor: Annotated[Cost | None, LATER] = None
    merge: Annotated[str | None, LATER] = None
    subset_epochs: Annotated[Count | None, LATER] = None
    num_observed: Annotated[Count | None, LATER] = None
    num_predicted: Annotated[Count | None, LATER] = None
    chosen: Annotated[str | None, LATER] = None
    trace: Annotated[list[Any] | None, LATER] = None
    cost_choosing_vs_full: Annotated[Cost | None, LATER] = None
    cost_vs_full_scoring: Annotated[Cost | None, LATER] = None
    ks: Annotated[Number | None, LATER] = None
    wasserstein: Annotated[Number | None, LATER] = None
    criterion: Annotated[str | None, LATER] = None
    num_folds: Annotated[Count | None, LATER] = None
    neighbors: Annotated[dict[str, Any] | None, LATER] = None
    control: Annotated[Flag | None, LATER] = None
    fidelity: Annotated[list[Fidelity], LATER, NULL_LIST] = []
    seed_level: Annotated[SeedLevel | None, LATER] = None

    @property
    def is_empty(self) -> bool:
        """Whether no scores were predicted."""
        return not self.model_fields_set


class _Accuracies(Block):
    """What every final training measures."""

    test_accuracy: Annotated[Share | None, FIRST] = None
    test_accuracy_best: Share | None = None
    validation_accuracy: Share | None = None
    worst_class_accuracy: Share | None = None
    class_accuracy: list[Share | None] | None = None
    worst_group_accuracy: Share | None = None


class Metrics(_Accuracies):
    """What the final training came to; accuracies are in ``[0, 1]``.

    Attributes:
        test_accuracy: accuracy on the test set after the last epoch.
        test_accuracy_best: the highest of all epochs.
        validation_accuracy: accuracy on the validation set after the last epoch.
        worst_class_accuracy: test accuracy of the class that is worst.
        class_accuracy: test accuracy of each class; None for one without a test sample.
        worst_group_accuracy: test accuracy of the group that is worst.
        linear_probe_accuracy: accuracy on the downstream test set with a new head alone.
        finetune_accuracy: the same with the whole network trained.
        source_accuracy: with a downstream set, accuracy on the test set of the source.
        robust_accuracy: accuracy on attacked test images.
    """

    linear_probe_accuracy: Share | None = None
    finetune_accuracy: Share | None = None
    source_accuracy: Annotated[Share | None, FIRST] = None
    robust_accuracy: Share | None = None


class Baseline(_Accuracies):
    """What a baseline that was trained beside the run came to: its metrics, see :class:`Metrics`, and its cost.

    Attributes:
        cost_vs_full: its cost in full trainings.
        reused: whether its training was found in the store.
        num_kept: number of samples that it was trained on.
        mask_sha256: hash of its mask.
        drawn_by: the seeds that decide its mask.
    """

    robust_accuracy: Share | None = None
    linear_probe_accuracy: Share | None = None
    finetune_accuracy: Share | None = None
    source_accuracy: Share | None = None
    cost_vs_full: Cost | None = None
    reused: Flag | None = None
    num_kept: Size | None = None
    mask_sha256: Text | None = None
    drawn_by: Seeds | None = None


class LedgerBlock(Block):
    """What the result cost, see :class:`secateur.core.ledger.Ledger`.

    Attributes:
        stages: every stage that the result needs.
        total_seconds: wall-clock seconds of all stages.
        cost_vs_full: cost of everything in full trainings; None where nothing was trained.
        cost_vs_full_amortized: the same without the stages that only decide the mask.
    """

    stages: Annotated[list[StageCost], FIRST] = []
    total_seconds: Cost | None = None
    cost_vs_full: Annotated[Cost | None, FIRST, FILTER] = None
    cost_vs_full_amortized: Annotated[Cost | None, FIRST, FILTER] = None


class RunRecord(Block):
    """The record of a run. Keys may be added in later versions, never renamed; what was not measured is null.

    Attributes:
        schema_version: ``schema`` in the file: 1.
        status: how the run stands.
        run_key: its key, 12 hex digits.
        name: name of the folder that its sweep's runs share.
        label: the method in words, see :func:`label_of`.
        command: the command that made it.
        seed: seed of the final training.
        score_seed: seed of all that decides the mask.
        select_on: what the mask was chosen on: ``last``, ``validation`` or ``test``.
        config: the configuration, with ``_class_`` for classes.
        provenance: the code, the machine and the versions that made it.
        started: when it began (ISO 8601, UTC).
        finished: when it ended, likewise; None while it runs.
        error: why it failed, one line.
        warnings: what was said while it ran.
        ignored: what the command said and the configuration does not hold.
        artifacts: sha256 of the files in its folder, by their path in it.
        artifact_bytes: their sizes in bytes.
        data: the data set.
        models: the networks.
        pruning: how the samples were chosen.
        transfer: the downstream data set.
        extrapolation: how scores were predicted.
        metrics: what the final training came to.
        comparison: what the baselines came to that were trained beside it, by name.
        ledger: what it cost.
    """

    schema_version: int = Field(default=SCHEMA, alias="schema")
    status: Annotated[Status, FIRST] = "running"
    run_key: Annotated[Text | None, FIRST, KNOWN] = None
    name: Annotated[str | None, FIRST, KNOWN] = None
    label: Annotated[str | None, FIRST, KNOWN] = None
    command: str | None = None
    seed: Annotated[Integer | None, FIRST, KNOWN] = None
    score_seed: Annotated[Integer | None, FIRST] = None
    select_on: Annotated[str | None, FIRST, KNOWN] = None
    config: Annotated[dict[str, Any], FIRST] = {}
    provenance: Annotated[dict[str, Any], FIRST] = {}
    started: str | None = None
    finished: str | None = None
    error: str | None = None
    warnings: Annotated[list[str], FIRST] = []
    ignored: list[str] = []
    artifacts: Annotated[dict[str, str], FIRST] = {}
    artifact_bytes: Annotated[dict[str, Count], NULL_MAPPING] = {}
    data: Annotated[DataFacts, FIRST] = Field(default_factory=DataFacts)
    models: Annotated[Models, FIRST] = Field(default_factory=Models)
    pruning: Annotated[Pruning, FIRST] = Field(default_factory=Pruning)
    transfer: Annotated[Transfer, FIRST, NULL_MAPPING] = Field(default_factory=Transfer)
    extrapolation: Annotated[Extrapolation, FIRST, NULL_MAPPING] = Field(default_factory=Extrapolation)
    metrics: Annotated[Metrics, FIRST] = Field(default_factory=Metrics)
    comparison: Annotated[dict[str, Baseline], FIRST, NULL_MAPPING] = {}
    ledger: Annotated[LedgerBlock, FIRST] = Field(default_factory=LedgerBlock)


def new_record(**values: Any) -> RunRecord:
    """Return the record of a run that begins now: it writes every key, and those not given are null or empty.

    Raises:
        KeyError: a key is not in the schema.
        DataError: a value is not what it should be.
    """
    record = RunRecord.blank()
    if unknown := [key for key in values if key not in RunRecord.model_fields]:
        raise KeyError(f"run.json has no key {unknown[0]!r}")
    record.update(values)
    record.started = now()
    return record


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def save_record(run_dir: Path, record: RunRecord) -> Path:
    """Write run.json atomically."""
    return write_json(run_dir / FILE_NAME, record.to_json())


def read_record(run_dir: Path) -> dict[str, Any]:
    """Read run.json as it is.

    Raises:
        DataError: it is missing, is not JSON, or has another schema.
    """
    path = run_dir / FILE_NAME
    return read_document(path, SCHEMA, "a run record", missing=f"No run record at {path}.")


def load_record(run_dir: Path) -> RunRecord:
    """Read run.json.

    Raises:
        DataError: it is missing, is not JSON, has another schema, or a value is not what it should be.
    """
    values = read_record(run_dir)
    try:
        return RunRecord.of(values)
    except DataError as error:
        raise DataError(f"{run_dir / FILE_NAME} is not a run record: {error}.") from error


def keep_record(run_dir: Path) -> None:
    """Keep a finished record beside run.json, which is about to be overwritten; one that is not finished is not kept.

    The kept one survives a process that is killed: the next one finds it.
    """
    if is_finished(run_dir):
        write_bytes(run_dir / KEPT, (run_dir / FILE_NAME).read_bytes())


def put_back_record(run_dir: Path) -> RunRecord | None:
    """Make the kept record run.json again; return it, or None where none is kept."""
    if not (run_dir / KEPT).is_file():
        return None
    os.replace(run_dir / KEPT, run_dir / FILE_NAME)
    return load_record(run_dir)


def forget_record(run_dir: Path) -> None:
    """Remove the kept record: new files take the place of those that it describes."""
    (run_dir / KEPT).unlink(missing_ok=True)


def label_of(pruning: Pruning, select_on: str | None = None) -> str:
    """Return a method in words: its name, or for ``score`` the scorer and whatever is not the default.

    A method may name what is not its default in ``pruning.modifiers``.

    Args:
        pruning: how the samples were chosen.
        select_on: what the mask was chosen on.

    Raises:
        DataError: ``pruning`` names no method.

    Example:
        >>> label_of(Pruning(method="score", score="tdds", extrapolation="knn", selection="top"))
        'tdds + knn'
    """
    name, parts = pruning.method, []
    if pruning.method == "score":
        name = pruning.score
        defaults = ((pruning.extrapolation, "none"), (pruning.selection, "top"))
        parts = [part for part, default in defaults if part not in (None, default)]
    parts += pruning.modifiers or []
    if pruning.variant not in (None, "reference"):
        parts.append(pruning.variant)
    if select_on == "test":
        parts.append("selected on test")
    if not name:
        raise DataError(f"pruning names no method: method is {shown(pruning.method)}, score is {shown(pruning.score)}")
    return " + ".join([name, *filter(None, parts)])


def is_finished(run_dir: Path) -> bool:
    """Whether a finished record lies in the folder."""
    try:
        return load_record(run_dir).status == "finished"
    except DataError:
        return False


def one_line(error: BaseException) -> str:
    """Return an exception's message as one line."""
    return re.sub(r"\s+", " ", str(error)).strip() or type(error).__name__
