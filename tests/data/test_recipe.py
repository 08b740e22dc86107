"""Every argument of a recipe is checked when it is made, with a message that helps."""

import pytest

from secateur.core.errors import ConfigError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"validation_fraction": 10}, "Did you mean 0.1"),
        ({"validation_fraction": 1.0}, r"\[0, 1\)"),
        ({"validation_fraction": "0.1"}, r"\[0, 1\)"),
        ({"label_noise": -0.1}, "label_noise"),
        ({"label_noise": float("nan")}, "label_noise"),
        ({"label_noise": True}, "label_noise"),
        ({"imbalance": 0.5}, ">= 1"),
        ({"imbalance": float("inf")}, "imbalance"),
        ({"split_seed": -1}, "split_seed"),
        ({"corruption_seed": 1.5}, "corruption_seed"),
        ({"channels": 2}, "1 .grey. or 3"),
        ({"channels": True}, "channels"),
        ({"image_size": 0}, "image_size"),
        ({"resize_size": 256}, "needs data.image_size"),
        ({"image_size": 224, "resize_size": 128}, "resize_size"),
        ({"mean": [0.5]}, "both"),
        ({"mean": [0.5], "std": [0.2, 0.2, 0.2]}, "channels"),
        ({"mean": [125.3], "std": [0.2]}, "divided by 255"),
        ({"mean": [0.5, 0.5], "std": [0.2, 0.2]}, "1 or 3"),
        ({"mean": "0.5", "std": [0.2]}, "1 or 3"),
        ({"mean": [0.5], "std": [0.0]}, "std"),
        ({"crop_padding": -1}, "crop_padding"),
        ({"flip": "yes"}, "true or false"),
        ({"cutout": 1.0}, "cutout"),
        ({"resident": "yes"}, "true, false or auto"),
        ({"resident_limit_gib": 0}, "> 0"),
        ({"num_workers": -1}, "num_workers"),
        ({"random_resized_crop": True}, "image_size"),
        ({"random_resized_crop": True, "image_size": 8, "crop_padding": 2}, "exclude"),
        ({"random_resized_crop": True, "image_size": 8, "resident": True}, "resident=false"),
    ],
)
def test_bad_arguments_are_refused(build, arguments, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build.ArrayData(**arguments)
    assert "\n" not in str(caught.value)


def test_empty_name_takes_the_folder(build, tmp_path):
    assert build.ArrayData(name="", root=tmp_path / "birds").name == "birds"
    assert build.ArrayData(name="", root=str(tmp_path / "birds.npz")).name == "birds"
