"""The hash of the code changes with the code and with nothing else."""

import importlib
import sys

import pytest

from secateur.core.code import check_code, current, package_sha256, user_modules
from secateur.core.errors import ConfigError


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "package"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.py").write_text("x = 1\n")
    (folder / "inner" / "b.py").write_text("y = 2\n")
    return folder


def edit(folder):
    (folder / "inner" / "b.py").write_text("y = 3\n")


def rename(folder):
    (folder / "a.py").rename(folder / "c.py")


def add(folder):
    (folder / "inner" / "c.py").write_text("")


def swap(folder):
    (folder / "a.py").write_text("y = 2\n")
    (folder / "inner" / "b.py").write_text("x = 1\n")


@pytest.mark.parametrize("change", [edit, rename, add, swap])
def test_it_changes_with_the_code(package, change):
    before = package_sha256(package)
    change(package)
    assert package_sha256(package) != before


def test_it_does_not_change_with_what_is_no_code(package):
    before = package_sha256(package)
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"1")
    (package / "conf.yaml").write_text("a: 1")
    (package / ".a.py.swp").write_text("")
    (package / "a.py").touch()
    assert package_sha256(package) == before


def test_the_user_s_modules_are_those_imported_from_their_folders(tmp_path, monkeypatch):
    for name in ("secateur_test_used", "secateur_test_unused"):
        (tmp_path / f"{name}.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("secateur_test_used")
    try:
        found = user_modules([tmp_path])
    finally:
        del sys.modules["secateur_test_used"]
    assert list(found) == [str(tmp_path.resolve() / "secateur_test_used.py")]
    assert current(found) == found
    (tmp_path / "secateur_test_used.py").unlink()
    assert list(current(found).values()) == ["missing"]


def test_installed_packages_and_our_own_are_not_the_user_s():
    from pathlib import Path

    import torch

    import secateur

    found = user_modules([Path(torch.__file__).parents[1], Path(secateur.__file__).parent])
    assert found == {}


def test_other_code_is_named_with_both_hashes_and_what_to_do(tmp_path):
    own = tmp_path / "own.py"
    own.write_text("x = 1\n")
    recorded = current([str(own)])
    check_code(package_sha256(), recorded, tmp_path)
    own.write_text("x = 2\n")
    with pytest.raises(ConfigError) as caught:
        check_code(package_sha256(), recorded, tmp_path)
    text = str(caught.value)
    assert text.startswith(f"{own} is not what this sweep was launched with")
    assert recorded[str(own)][:12] in text
    assert current([str(own)])[str(own)][:12] in text
    assert f"secateur sweep resume {tmp_path} --accept-code" in text
    with pytest.raises(ConfigError, match=f"secateur's code .*{'0' * 12} then, {package_sha256()[:12]} now"):
        check_code("0" * 64, {}, tmp_path)
