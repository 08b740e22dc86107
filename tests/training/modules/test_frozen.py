"""Training on stored features is training on the images with everything frozen."""

import torch
from torch import nn

from secateur.data.order import Shuffled
from secateur.training.evaluate import worst_group_accuracy
from secateur.training.modules.frozen import FeatureLoader, HeadOnly


def loader(num_samples=11, batch_size=4, seed=3):
    ids = torch.arange(num_samples) * 7 + 2
    features = torch.arange(num_samples).float()[:, None].repeat(1, 5)
    return FeatureLoader(features, torch.arange(num_samples) % 3, ids, batch_size, Shuffled(ids, seed))


def test_features_travel_with_their_labels_and_ids():
    batches = loader()
    seen = []
    for epoch in (0, 1):
        batches.set_epoch(epoch)
        ids = torch.cat([batch.sample_id for batch in batches])
        for batch in batches:
            row = (batch.sample_id - 2) // 7
            assert torch.equal(batch.x[:, 0].long(), row)
            assert torch.equal(batch.y, row % 3)
        assert torch.equal(ids.sort().values, torch.arange(11) * 7 + 2)
        assert len(batches) == len(list(batches))
        seen.append(ids.tolist())
    assert seen[0] != seen[1]
    batches.set_epoch(0)
    assert torch.cat([batch.sample_id for batch in batches]).tolist() == seen[0]


def test_without_an_order_they_come_as_stored():
    features = torch.randn(5, 2)
    (batch,) = FeatureLoader(features, torch.zeros(5).long(), torch.arange(5), 10)
    assert torch.equal(batch.x, features)


def test_a_head_alone_gives_the_networks_logits():
    head = nn.Linear(5, 3)
    model, features = HeadOnly(head), torch.randn(4, 5)
    assert torch.equal(model(features), head(features))
    assert model.features(features) is features
    assert (model.num_features, model.num_classes) == (5, 3)


def test_worst_group_is_the_lowest_accuracy_of_any_class_in_any_group():
    head = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.eye(2))
    labels, groups = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([0, 1, 1, 0, 0, 1])
    predicted = torch.tensor([0, 0, 1, 1, 1, 1])  # one mistake: class 0 in group 1
    features = torch.nn.functional.one_hot(predicted, 2).float()
    batches = FeatureLoader(features, labels, torch.arange(6), 4)
    assert worst_group_accuracy(HeadOnly(head), batches, groups) == 0.5
