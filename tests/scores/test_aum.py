import pytest
import torch

from secateur.core.errors import ConfigError
from secateur.scores.aum import AUM, aum


@pytest.mark.parametrize("missing", [0.0, 0.5])
def test_oracle_and_sign(tools, missing):
    logits, target = tools.trajectory(6, 10, dtype=torch.float64)
    seen = torch.rand(6, 10, generator=torch.Generator().manual_seed(0)) >= missing
    expected = []
    for row, label in enumerate(target.tolist()):
        margins = []
        for epoch in range(6):
            if seen[epoch, row]:
                z = logits[epoch, row].tolist()
                margins.append(z[label] - max(value for c, value in enumerate(z) if c != label))
        expected.append(-sum(margins) / len(margins))
    result = aum(tools.hide(logits, seen), target)
    torch.testing.assert_close(result, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-14)


def test_side_column_has_the_sign_of_the_paper(tools):
    logits, target = tools.trajectory(6, 10)
    result = tools.feed(AUM, logits, target).compute()
    assert torch.equal(result.columns["aum"], -result.score)
    easy = torch.tensor([[[9.0, 0.0]]])
    assert float(aum(easy, torch.tensor([0]))) == -9.0


def test_wrong_shape():
    with pytest.raises(ConfigError, match=r"shape \[T, N, C\]"):
        aum(torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64))
