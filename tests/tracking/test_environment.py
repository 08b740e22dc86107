import os

import pytest

from secateur.tracking.base import environment


def test_what_was_there_is_put_back_also_after_an_error(monkeypatch):
    monkeypatch.setenv("SECATEUR_TEST_A", "before")
    monkeypatch.delenv("SECATEUR_TEST_B", raising=False)

    def work():
        with environment({"SECATEUR_TEST_A": "inside"}, ("SECATEUR_TEST_B",)):
            assert os.environ["SECATEUR_TEST_A"] == "inside"
            os.environ["SECATEUR_TEST_B"] = "left behind"
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert os.environ["SECATEUR_TEST_A"] == "before"
    assert "SECATEUR_TEST_B" not in os.environ
