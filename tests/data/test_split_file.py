"""Split files as published with CoOp."""

import json

import pytest

from secateur.core.errors import ConfigError, DataError
from secateur.data.prepared import prepare
from secateur.data.split_file import SplitFileData


@pytest.fixture
def root(build, tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(6):
        (tmp_path / "images" / f"{number}.png").write_bytes(build.encode(build.random_array(number)))
    entries = [[f"{number}.png", number % 2, ["rose", "tulip"][number % 2]] for number in range(6)]
    content = {"train": entries[:3], "val": entries[3:4], "test": entries[4:]}
    (tmp_path / "split.json").write_text(json.dumps(content))
    return tmp_path


def recipe(root, **changes):
    keys = {"split_file": "split.json", "image_folder": "images", "validation_fraction": 0.0}
    return SplitFileData(root=str(root), **{**keys, **changes})


def test_entries_are_read_in_their_order(build, root):
    data = prepare(recipe(root))
    assert data.class_names == ["rose", "tulip"]
    assert data.labels.tolist() == [0, 1, 0]
    assert data.test.labels.tolist() == [0, 1]
    for row in range(3):
        assert data.train.stored_bytes(row) == build.encode(build.random_array(row))
    assert data.name == root.name
    x, y, sample_id = next(iter(data.eval_loader("test", 10)))
    assert (len(x), y.tolist(), sample_id.tolist()) == (2, [0, 1], [0, 1])


def test_what_is_no_split_file_is_refused(root):
    with pytest.raises(ConfigError, match=r"data\.split_file must be given"):
        recipe(root, split_file="")
    with pytest.raises(DataError, match=r"other\.json is not a readable JSON file"):
        recipe(root, split_file="other.json").check()
    (root / "broken.json").write_text('{"train": [["a.png", 0]]}')
    with pytest.raises(DataError, match=r"no 'train' list of \[path, label, class name\]"):
        recipe(root, split_file="broken.json").check()
    (root / "list.json").write_text("[1]")
    with pytest.raises(DataError, match="holds no train and test lists"):
        recipe(root, split_file="list.json").check()
