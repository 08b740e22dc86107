import sys

import pytest

from secateur.core.errors import ConfigError
from secateur.tracking.csv import FilesOnly
from secateur.tracking.mlflow import MlflowTracker
from secateur.tracking.tensorboard import TensorBoardTracker
from secateur.tracking.wandb import WandbTracker, logged_in


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    """A machine on which nobody is logged in anywhere."""
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("tracker", "package", "advice"),
    [
        (WandbTracker(), "wandb", "logger=wandb needs wandb: pip install 'wandb'"),
        (TensorBoardTracker(), "tensorboard", r"pip install 'secateur\[tensorboard\]', or take logger=csv"),
        (MlflowTracker(), "mlflow", r"pip install 'secateur\[mlflow\]'"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_a_logger_that_is_not_installed(monkeypatch, tracker, package, advice):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=advice):
        tracker.check()


def test_offline_needs_no_login_and_online_does(nobody):
    WandbTracker().check()
    with pytest.raises(ConfigError, match=r"needs a W&B login and there is none: run `wandb login`"):
        WandbTracker(mode="online").check()
    assert WandbTracker().state() == "offline (online needs `wandb login`)"


@pytest.mark.parametrize("place", ["environment", "netrc"])
def test_a_login_is_found_without_asking_anybody_or_any_server(nobody, monkeypatch, tmp_path, capsys, place):
    key = "0123456789abcdef" * 2 + "01234567"
    if place == "environment":
        monkeypatch.setenv("WANDB_API_KEY", key)
    else:
        (tmp_path / ".netrc").write_text(f"machine api.wandb.ai\n  login user\n  password {key}\n")
        (tmp_path / ".netrc").chmod(0o600)
    assert logged_in()
    WandbTracker(mode="online").check()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"num_images": -1}, "num_images must not be negative, got -1"),
        ({"tags": ["x" * 65]}, "a tag has 1 to 64 characters"),
        ({"tags": [""]}, "a tag has 1 to 64 characters, got ''"),
    ],
    ids=["images", "long tag", "empty tag"],
)
def test_settings_that_cannot_work(settings, complaint):
    with pytest.raises(ConfigError, match=complaint):
        WandbTracker(**settings)


def test_a_destination_is_a_place_and_csv_has_none():
    trackers = [WandbTracker(), WandbTracker(mode="online"), WandbTracker(project="other"), WandbTracker(entity="me")]
    trackers += [TensorBoardTracker(), MlflowTracker(), MlflowTracker(tracking_uri="http://here")]
    assert len({tracker.destination for tracker in trackers}) == len(trackers)
    assert FilesOnly().destination is None
    assert FilesOnly().open(None) is None
