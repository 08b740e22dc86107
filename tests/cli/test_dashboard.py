import json
import sys

import pytest

from secateur.cli.main import main


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    """A machine on which nobody is logged in."""
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_a_dry_run_prints_the_workspace_and_needs_no_login(nobody, capsys):
    pytest.importorskip("wandb_workspaces")
    assert main(["dashboard", "--dry-run", "--project", "mine", "--group", "demo"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["project"], printed["name"]) == ("mine", "Secateur")
    assert "demo" in json.dumps(printed["spec"])


def test_without_a_login_it_is_one_line(nobody, capsys):
    pytest.importorskip("wandb_workspaces")
    assert main(["dashboard", "--entity", "team"]) == 2
    err = capsys.readouterr().err
    assert "nobody is logged in: run `wandb login`" in err
    assert err.count("\n") == 1


def test_without_the_extra_it_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    assert main(["dashboard", "--dry-run"]) == 2
    err = capsys.readouterr().err
    assert "pip install 'secateur[dashboard]'" in err
    assert err.count("\n") == 1


def test_without_an_entity_it_asks_for_one(nobody, monkeypatch, capsys):
    pytest.importorskip("wandb_workspaces")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef" * 2 + "01234567")
    assert main(["dashboard"]) == 2
    assert "Add --entity" in capsys.readouterr().err


@pytest.mark.parametrize("problem", [None, ConnectionError("no route\nto host")], ids=["saved", "no server"])
def test_it_is_saved_or_says_why_not(nobody, monkeypatch, capsys, problem):
    workspaces = pytest.importorskip("wandb_workspaces.workspaces")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef" * 2 + "01234567")
    saved = []

    def save(self):
        if problem:
            raise problem
        saved.append((self.entity, self.project))

    monkeypatch.setattr(workspaces.Workspace, "save", save)
    monkeypatch.setattr(workspaces.Workspace, "url", property(lambda self: "https://somewhere/workspace"))
    code = main(["dashboard", "--entity", "team"])
    out, err = capsys.readouterr()
    if problem is None:
        assert (code, saved, out) == (0, [("team", "secateur")], "https://somewhere/workspace\n")
    else:
        assert (code, err) == (1, "secateur: error: the workspace was not saved: no route to host\n")
