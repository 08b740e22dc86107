import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.mask import Mask
from secateur.core.tables import ScoreTable
from secateur.tracking.wandb import THUMBNAIL, ends, pictures


@given(st.lists(st.integers(0, 5), min_size=0, max_size=12), st.integers(0, 5))
def test_ends_are_those_of_the_sorted_scores(scores, num_images):
    found = ends(torch.tensor(scores, dtype=torch.float32), torch.arange(len(scores)), num_images)
    ranked = sorted(range(len(scores)), key=lambda row: (-scores[row], row))
    highest = ranked[:num_images]
    lowest = [row for row in ranked if row not in highest][::-1][:num_images][::-1]
    assert found["highest"].tolist() == highest
    assert found["lowest"].tolist() == lowest


def tables(data, folder, scored=True):
    """Save a mask that keeps every second sample of the pool, and a score that falls with the row."""
    score = -torch.arange(len(data.pool), dtype=torch.float32)
    Mask(data.pool, torch.arange(len(data.pool)) % 2 == 0, data.fingerprint).save(folder / "mask.parquet")
    if scored:
        everywhere = torch.ones(len(data.pool), dtype=torch.bool)
        about = {"observed": everywhere, "fingerprint": data.fingerprint, "metadata": {}}
        table = ScoreTable(sample_id=data.pool, label=data.pool_labels, score=score, **about)
        table.save(folder / "scores.parquet")


def test_thumbnails_of_kept_and_pruned(digits, tmp_path):
    tables(digits, tmp_path)
    found = list(pictures(tmp_path, digits, 2))
    expected = [digits.pool[row] for row in (0, 2, 196, 198, 1, 3, 197, 199)]
    assert [picture.sample_id for picture in found] == expected
    assert [picture.kept for picture in found] == [True] * 4 + [False] * 4
    assert [picture.place for picture in found] == ["highest", "highest", "lowest", "lowest"] * 2
    assert found[0].class_name == digits.class_names[int(digits.labels[digits.pool[0]])]
    assert found[2].score == -196
    assert all(max(picture.image.size) <= THUMBNAIL for picture in found)


def test_without_scores_or_wishes_there_are_none(digits, tmp_path):
    tables(digits, tmp_path, scored=False)
    assert list(pictures(tmp_path, digits, 2)) == []
    tables(digits, tmp_path)
    assert list(pictures(tmp_path, digits, 0)) == []
