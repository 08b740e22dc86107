"""AdaPruner's objective gives what the authors' released step gave (stored inputs and outputs, none of their code)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from secateur.dynamic.adapruner import adapruner_loss

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden"
FILES = sorted(GOLDEN.glob("adapruner_step_*.npz"))
pytestmark = pytest.mark.skipif(not FILES, reason=f"no golden AdaPruner files in {GOLDEN}")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_step_of_the_release(path):
    with np.load(path) as stored:
        inputs = {name: torch.from_numpy(np.asarray(stored[name])) for name in stored}
    mask = inputs["mask_parameter"].requires_grad_()
    loss = adapruner_loss(
        *(inputs["logits"], inputs["target"], mask[inputs["sample_index"]]),
        *(float(inputs[key]) for key in ("scale_factor", "keep_ratio", "ratio_penalty")),
    )
    loss.total.backward()
    for found, key in (
        *((loss.total, "loss"), (loss.weighted_cross_entropy, "weighted_cross_entropy")),
        *((loss.selection, "selection_loss"), (mask.grad, "grad_mask_parameter")),
    ):
        np.testing.assert_allclose(found.detach().numpy(), inputs[key].numpy(), rtol=1e-5, err_msg=key)
