"""Which end of a score is hard, by the images: against a loop, and on data where the answer is known."""

import torch

from secateur.extrapolation.correlation import spearman
from secateur.interop.align import difficulty


def batches(x, y, size):
    return lambda: zip(x.split(size), y.split(size), strict=True)


def test_difficulty_equals_a_loop_and_ignores_the_batch_size():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(23, 2, 4, 4, generator=generator)
    y = torch.randint(0, 3, (23,), generator=generator)
    means = [x[y == label].double().mean(dim=0) for label in range(3)]
    expected = [
        (image - means[label]).norm() - min((image - means[other]).norm() for other in range(3) if other != label)
        for image, label in zip(x.double(), y.tolist(), strict=True)
    ]
    for size in (23, 4):
        found = difficulty(batches(x, y, size), num_classes=4)  # the fourth class is absent
        torch.testing.assert_close(found.double(), torch.stack(expected), rtol=1e-4, atol=1e-4)


def test_images_near_another_class_are_harder():
    x = torch.cat([torch.linspace(-2, 0.5, 50), torch.linspace(-0.5, 2, 50)]).reshape(-1, 1, 1, 1)
    y = torch.arange(100) // 50
    hard = x.flatten() * torch.where(y == 0, 1, -1)  # towards the other class
    assert spearman(difficulty(batches(x, y, 7), 2), hard) > 0.8  # far from both means all are the same
