"""Where every sample comes in the orders of a training."""

import torch

from secateur.data.order import InOrder, Shuffled, positions

IDS = torch.tensor([2, 3, 5, 7, 11, 13])


def test_positions_invert_the_order():
    order = Shuffled(IDS, seed=4)
    places = positions(order, IDS, 3)
    assert places.shape == (3, 6)
    for epoch in range(3):
        assert [int(IDS[row]) for row in places[epoch].argsort()] == order.ids(epoch).tolist()
        assert sorted(places[epoch].tolist()) == list(range(6))


def test_without_shuffling_all_epochs_are_the_same():
    assert positions(InOrder(IDS), IDS, 2).tolist() == [list(range(6))] * 2
