import pytest
import torch

from secateur.core.tables import ScoreTable


def make_table(num_samples, num_classes=3, seed=0, score=None, decimals=None, skip=1):
    """A table of random scores; ids are spread over a larger data set when ``skip`` is above 1."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(num_samples, generator=generator) if score is None else torch.as_tensor(score)
    if decimals is not None:
        scores = scores.round(decimals=decimals)
    return ScoreTable(
        sample_id=torch.arange(num_samples) * skip,
        label=torch.randint(num_classes, (num_samples,), generator=generator),
        score=scores.float(),
        observed=torch.ones(num_samples, dtype=torch.bool),
        columns={"mean_probability": torch.rand(num_samples, generator=generator)},
        fingerprint="f" * 64,
        metadata={"score": "any"},
    )


@pytest.fixture(scope="session")
def table_of():
    return make_table
