"""Train while a policy chooses the samples of every epoch."""

from secateur.core.mask import Mask
from secateur.dynamic.base import DynamicPolicy
from secateur.runs.context import Context
from secateur.runs.methods.base import Pruned
from secateur.runs.stages.training import STATIC_MASK, train_with_policy
from secateur.training.sampling import Sampling, Visits


def train_and_prune(context: Context, policy: DynamicPolicy, num_keep: int) -> Pruned:
    """Train with a policy (or find it trained) and return what it visited, and its static mask where it has one.

    Args:
        context: the run.
        policy: what chooses.
        num_keep: size of the static mask.
    """
    trained = train_with_policy(context, Sampling(policy, context.data.pool, num_keep))
    path = trained.path / STATIC_MASK
    static = Mask.load(path, context.data.fingerprint) if path.is_file() else None
    return Pruned(None, trained=trained, visits=Visits(**trained.summary["visits"]), static_mask=static)
