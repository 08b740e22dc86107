"""Every option of conf/model builds, and splits into features and head."""

import inspect
from pathlib import Path

import pytest
import torch
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from secateur.core.errors import ConfigError
from secateur.models.backbone import Backbone, with_in_channels
from secateur.models.imagenet import TorchvisionResNet, TorchvisionViT
from secateur.models.resnet import CIFARResNet
from secateur.models.small_cnn import SmallCNN
from secateur.models.timm_model import TimmModel
from secateur.models.wide_resnet import WideResNet

CONF = Path(__file__).parents[2] / "conf" / "model"
OPTIONS = sorted(path.stem for path in CONF.glob("*.yaml"))
WIDTHS = {
    "small_cnn": 32, "resnet8": 64, "resnet20": 64, "resnet18": 512, "resnet34": 512, "resnet50": 2048,
    "wrn28_10": 640, "resnet18_imagenet": 512, "resnet50_imagenet": 2048, "resnet101_imagenet": 2048,
    "resnet152_imagenet": 2048, "vit_b_16": 768, "timm": 768,
}  # fmt: skip
SIDES = {"vit_b_16": 224}
SMALL = ("small_cnn", "resnet8", "resnet20", "resnet18", "resnet18_imagenet")


def build(name, num_classes=5, in_channels=3, **overrides):
    config = OmegaConf.merge(OmegaConf.load(CONF / f"{name}.yaml"), overrides)
    return instantiate(config)(num_classes=num_classes, in_channels=in_channels)


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_every_option_is_covered():
    assert set(OPTIONS) == set(WIDTHS)


@pytest.mark.parametrize("name", OPTIONS)
def test_keys_equal_the_signature(name):
    config = OmegaConf.load(CONF / f"{name}.yaml")
    parameters = set(inspect.signature(get_class(config._target_).__init__).parameters)
    assert set(config) == (parameters - {"self", "num_classes", "in_channels"}) | {"_target_", "_partial_"}
    assert issubclass(get_class(config._target_), Backbone)
    assert get_class(config._target_).forward is Backbone.forward


@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("name", OPTIONS)
def test_shapes(name, in_channels):
    side = SIDES.get(name, 32)
    with torch.device("meta"):
        model = build(name, in_channels=in_channels).eval()
        x = torch.zeros(2, in_channels, side, side)
    assert model.features(x).shape == (2, model.num_features) == (2, WIDTHS[name])
    assert model(x).shape == (2, model.num_classes) == (2, 5)


@pytest.mark.parametrize("name", SMALL)
def test_forward_is_head_of_features_and_every_parameter_learns(name):
    torch.manual_seed(0)
    model = build(name, in_channels=1)
    x = torch.randn(4, 1, 16, 16)
    model(x).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.eval()
    torch.testing.assert_close(model(x), model.head(model.features(x)), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "num_parameters"),
    [
        ("resnet8", 75_290), ("resnet20", 269_722), ("resnet18", 11_173_962), ("resnet34", 21_282_122),
        ("resnet50", 23_520_842), ("wrn28_10", 36_479_194),
    ],
)  # fmt: skip
def test_parameter_counts_of_the_cifar_networks(name, num_parameters):
    with torch.device("meta"):
        assert count(build(name, num_classes=10)) == num_parameters


@pytest.mark.parametrize(
    ("name", "num_parameters"),
    [("resnet18_imagenet", 11_689_512), ("resnet50_imagenet", 25_557_032), ("resnet101_imagenet", 44_549_160),
     ("resnet152_imagenet", 60_192_808), ("vit_b_16", 86_567_656)],
)  # fmt: skip
def test_parameter_counts_of_the_imagenet_networks(name, num_parameters):
    with torch.device("meta"):
        assert count(build(name, num_classes=1000)) == num_parameters


@pytest.mark.parametrize("side", [8, 28, 32])
def test_small_cnn_suits_small_images(side):
    assert SmallCNN(num_classes=3, in_channels=1, width=4)(torch.zeros(2, 1, side, side)).shape == (2, 3)


def test_odd_sides_do_not_break_the_pad_shortcut():
    assert build("resnet8")(torch.zeros(2, 3, 15, 15)).shape == (2, 5)


def test_zero_init_residual_makes_blocks_the_identity():
    model = build("resnet8", zero_init_residual=True).eval()
    x = torch.randn(2, 3, 8, 8)
    first_stage = model.blocks[0]
    torch.testing.assert_close(first_stage(model.stem(x)), model.stem(x))


def test_activation_and_dropout_of_the_wide_resnet():
    model = build("wrn28_10", depth=10, widen_factor=1, activation="silu", dropout=0.3)
    x = torch.randn(2, 3, 8, 8)
    assert not torch.equal(model(x), model(x))
    assert any(isinstance(module, torch.nn.SiLU) for module in model.modules())
    assert not any(isinstance(module, torch.nn.ReLU) for module in model.modules())


def test_vit_with_one_channel_trains_at_a_small_size():
    with torch.device("meta"):
        model = TorchvisionViT(num_classes=5, in_channels=1, image_size=32)
        assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 5)
        assert model.body.conv_proj.weight.shape == (768, 1, 16, 16)


@pytest.mark.parametrize("architecture", ["resnet10t", "test_vit", "test_convnext", "mobilenetv3_small_050"])
def test_timm_split_agrees_with_the_whole_model(architecture):
    import timm

    torch.manual_seed(0)
    whole = timm.create_model(architecture, num_classes=5, in_chans=1).eval()
    torch.manual_seed(0)
    split = TimmModel(num_classes=5, in_channels=1, architecture=architecture).eval()
    side = whole.default_cfg["input_size"][-1]
    x = torch.randn(2, 1, side, side)
    with torch.no_grad():
        torch.testing.assert_close(split(x), whole(x))
        assert split.features(x).shape == (2, split.num_features)


def test_timm_takes_an_image_size():
    model = TimmModel(num_classes=5, in_channels=3, architecture="test_vit", image_size=64)
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


def test_reset_head():
    model = build("small_cnn").double()
    old = model.head
    model.reset_head(7)
    assert model.head is not old
    assert model.head.weight.dtype == torch.float64
    assert model.num_classes == 7


def test_first_convolution_is_kept_where_it_fits():
    conv = torch.nn.Conv2d(3, 8, 7, stride=2, padding=3, bias=False)
    assert with_in_channels(conv, 3) is conv
    grey = with_in_channels(conv, 1)
    assert grey.weight.shape == (8, 1, 7, 7)
    assert (grey.stride, grey.padding, grey.bias) == ((2, 2), (3, 3), None)


@pytest.mark.parametrize(
    ("builder", "options", "match"),
    [
        (CIFARResNet, {"layers": [1], "widths": [1, 2], "block": "basic", "shortcut": "pad"}, "equally long"),
        (
            CIFARResNet,
            {"layers": [1], "widths": [4], "block": "wide", "shortcut": "pad"},
            "basic or bottleneck",
        ),
        (WideResNet, {"depth": 29, "widen_factor": 1}, "6 n"),
        (WideResNet, {"depth": 10, "widen_factor": 1, "activation": "tanh"}, "activation"),
        (TorchvisionResNet, {"architecture": "resnet19"}, "architecture"),
        (TorchvisionViT, {"image_size": 30}, "multiple of 16"),
        (TimmModel, {"architecture": "resnet50x"}, "timm has no"),
        (TimmModel, {"architecture": "resnetv2_50"}, "linear layer"),
    ],
)
def test_wrong_options_are_refused(builder, options, match):
    with pytest.raises(ConfigError, match=match):
        builder(num_classes=5, in_channels=3, **options)
