"""Every option of the data group: one target, exactly the constructor's keywords, no default that drifts."""

import dataclasses
from pathlib import Path

import pytest
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from secateur.core.errors import DataError
from secateur.data.recipe import DataRecipe

FILES = sorted((Path(__file__).parents[2] / "conf" / "data").glob("*.yaml"))
OPTIONS = {
    *("digits", "parquet", "image_folder", "npz", "cifar10", "cifar100", "svhn", "mnist", "fashion_mnist"),
    *("places365", "imagenet", "flowers102", "dtd", "oxford_iiit_pet", "food101", "sun397", "eurosat"),
    *("stanford_cars", "ucf101", "waterbirds", "split_file"),
}
UNCORRUPTED = ("validation_fraction", "split_seed", "label_noise", "imbalance", "corruption_seed", "cutout")


def test_all_options_are_there():
    assert {file.stem for file in FILES} == OPTIONS


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_keys_are_the_constructors_keywords(file):
    text = file.read_text()
    node = OmegaConf.create(text)
    assert text.startswith("# ")
    assert text.count("_target_") == 1
    cls = get_class(node._target_)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    assert set(node) - {"_target_"} == set(fields)
    for key in UNCORRUPTED:
        assert node[key] == fields[key].default


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_missing_data_is_one_line(file, tmp_path, monkeypatch):
    monkeypatch.setenv("SECATEUR_DATA", str(tmp_path / "nowhere"))
    node = OmegaConf.load(file)
    if "split_file" in node:  # must be given
        node.split_file = "split.json"
    recipe = instantiate(node)
    assert isinstance(recipe, DataRecipe)
    assert recipe.name == (file.stem if OmegaConf.load(file).name else "nowhere")
    if file.stem == "digits":
        return recipe.check()
    with pytest.raises(DataError, match="nowhere does not exist") as caught:
        recipe.check()
    assert "\n" not in str(caught.value)
    return None
