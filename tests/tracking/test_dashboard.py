import json
import re
import sys

import pytest

from secateur.core.errors import ConfigError
from secateur.tracking.base import HISTORIES
from secateur.tracking.dashboard import build_workspace, check_installed, specification

pytest.importorskip("wandb_workspaces")


@pytest.fixture(scope="module")
def spec():
    return specification(build_workspace("team", "secateur", group="demo"))


def panels(spec):
    """Yield the configuration of every panel of every section, by the section's name."""
    for section in spec["spec"]["section"]["panelBankConfig"]["sections"]:
        for panel in section["panels"]:
            yield section["name"], panel["config"]


def test_sections(spec):
    names = list(dict.fromkeys(name for name, _ in panels(spec)))
    assert names == ["Accuracy", "Cost", "Masks", *HISTORIES, "Images"]
    assert (spec["entity"], spec["project"], spec["name"]) == ("team", "secateur", "Secateur")


def test_accuracy_is_drawn_against_the_ratio_and_the_cost(spec):
    axes = {(config["xAxis"], config["yAxis"]) for _, config in panels(spec) if "yAxis" in config}
    assert ("config:pruning_ratio.value", "summary:test_accuracy") in axes
    assert ("config:cost_vs_full.value", "summary:test_accuracy") in axes


def test_runs_are_grouped_by_method_and_ratio_and_filtered(spec):
    (runs,) = spec["spec"]["section"]["runSets"]
    assert [key["name"] for key in runs["grouping"]] == ["label.value", "pruning_ratio.value"]
    chosen = {(entry["key"]["name"], entry["value"]) for entry in runs["filters"]["filters"]}
    assert chosen == {("state", "finished"), ("group", "demo")}


def test_every_run_is_shown_and_not_the_first_ten(spec):
    assert spec["spec"]["section"]["settings"]["maxRuns"] >= 1000


def test_it_reads_only_what_runs_log(spec):
    """The keys of this test are those of tests/end_to_end/test_loggers.py, read back from runs."""
    read = set(re.findall(r'"(?:summary:|summary_metrics\.)([^"]+)"', json.dumps(spec)))
    metrics = {"test_accuracy", "worst_class_accuracy"}
    ledger = {"ledger/cost_vs_full", "ledger/cost_vs_full_amortized", "ledger/total_seconds"}
    kept = {"keep_fraction", "smallest_class", "num_empty_classes", "observed_share", "flipped_share_kept"}
    assert read == metrics | ledger | {f"mask/{name}" for name in kept}


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(ConfigError, match=r"pip install 'secateur\[dashboard\]'"):
        check_installed()
