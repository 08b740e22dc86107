"""The W&B workspace over a project's runs: accuracy against ratio by method, cost, mask statistics.

It reads the keys that :mod:`secateur.tracking.facts` and :mod:`secateur.tracking.base` give to runs, and nothing else.
"""

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from secateur.core.errors import ConfigError
from secateur.tracking.base import HISTORIES

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Section, Workspace

COLUMNS = (
    *("run:displayName", "config:label", "config:pruning_ratio", "config:seed"),
    *("summary:test_accuracy", "config:cost_vs_full", "config:num_kept"),
)
MAX_RUNS = 1000  # a panel shows ten, otherwise


def check_installed() -> None:
    """Raise :class:`ConfigError` if wandb-workspaces is not there."""
    if find_spec("wandb_workspaces") is None:
        raise ConfigError("secateur dashboard needs wandb-workspaces: pip install 'secateur[dashboard]'.")


def build_workspace(entity: str, project: str, name: str = "Secateur", group: str | None = None) -> "Workspace":
    """Build the workspace; neither asks nor needs a server.

    Args:
        entity: user or team.
        project: project of the runs.
        name: what the workspace is called.
        group: show the runs of one sweep only (the ``name=`` of its runs); None: all finished ones.
    """
    import wandb_workspaces.workspaces as ws

    filters = [ws.Metric("State") == "finished", *([ws.Metric("Group") == group] if group else [])]
    return ws.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[_accuracy(), _cost(), _masks(), *map(_history, HISTORIES), _images()],
        settings=ws.WorkspaceSettings(max_runs=MAX_RUNS, group_by_prefix="first"),
        runset_settings=ws.RunsetSettings(
            filters=ws.And(*filters),
            groupby=[ws.Config("label"), ws.Config("pruning_ratio")],  # one point per cell: the mean over seeds
            order=[ws.Ordering(ws.Summary("test_accuracy"), ascending=False)],
            pinned_columns=list(COLUMNS),
        ),
    )


def specification(workspace: "Workspace") -> dict[str, Any]:
    """Return a workspace as the JSON that would be sent."""
    view = workspace._to_model()
    content: dict[str, Any] = json.loads(view.spec.model_dump_json(by_alias=True, exclude_none=True))
    return {"entity": view.entity, "project": view.project, "name": view.display_name, "spec": content}


def _panels() -> Any:
    """Return the module of all panels; it does not say what it exports."""
    import wandb_workspaces.reports.v2 as panels

    return panels


def _section(name: str, panels: list[Any], *, is_open: bool = True) -> "Section":
    import wandb_workspaces.workspaces as ws

    return ws.Section(name=name, panels=panels, is_open=is_open)


def _scatter(title: str, x: str, y: str, x_of: str = "config") -> Any:
    """Return a panel of one outcome against another; ``x`` is a key of the configuration or of the summary."""
    wr = _panels()
    place = wr.Config if x_of == "config" else wr.SummaryMetric
    return wr.ScatterPlot(title=title, x=place(x), y=wr.SummaryMetric(y))


def _bars(title: str, metric: str) -> Any:
    """Return a panel of an outcome's mean by method."""
    wr = _panels()
    return wr.BarPlot(
        title=title,
        metrics=[wr.SummaryMetric(metric)],
        groupby=wr.Config("label"),
        groupby_aggfunc="mean",
        groupby_rangefunc="stddev",
    )


def _accuracy() -> "Section":
    panels = [
        _scatter("Test accuracy against pruning ratio", "pruning_ratio", "test_accuracy"),
        _scatter("Worst class against pruning ratio", "pruning_ratio", "worst_class_accuracy"),
        _bars("Test accuracy by method", "test_accuracy"),
    ]
    return _section("Accuracy", panels)


def _cost() -> "Section":
    panels = [
        _scatter("Test accuracy against cost", "cost_vs_full", "test_accuracy"),
        _bars("Cost in full trainings by method", "ledger/cost_vs_full"),
        _bars("The same when the mask is reused without end", "ledger/cost_vs_full_amortized"),
        _bars("Seconds by method", "ledger/total_seconds"),
    ]
    return _section("Cost", panels)


def _masks() -> "Section":
    panels = [
        _scatter("Kept share against pruning ratio", "pruning_ratio", "mask/keep_fraction"),
        _scatter("Smallest class against pruning ratio", "pruning_ratio", "mask/smallest_class"),
        _scatter("Accuracy against smallest class", "mask/smallest_class", "test_accuracy", "summary"),
        _bars("Classes that keep nothing", "mask/num_empty_classes"),
        _bars("Share of kept samples that were scored", "mask/observed_share"),
        _bars("Share of kept samples with a flipped label", "mask/flipped_share_kept"),
    ]
    return _section("Masks", panels)


def _history(training: str) -> "Section":
    wr = _panels()
    panels = [
        wr.LinePlot(
            title=title,
            x=f"{training}/epoch",
            y=[f"{training}/{metric}"],
            groupby=wr.Config("label"),
            groupby_aggfunc="mean",
            groupby_rangefunc="stddev",
            max_runs_to_show=MAX_RUNS,
        )
        for title, metric in (("Training loss", "train_loss"), ("Test accuracy", "test_accuracy"))
    ]
    return _section(training, panels, is_open=training == "training")


def _images() -> "Section":
    wr = _panels()
    panels = [wr.WeavePanelSummaryTable(table_name=key) for key in ("images/kept", "images/pruned")]
    return _section("Images", panels, is_open=False)
