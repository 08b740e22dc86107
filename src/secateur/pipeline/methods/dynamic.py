"""What rs2 and infobatch share: the network is trained while the policy chooses, then the static mask is read."""

from secateur.core.mask import Mask
from secateur.dynamic.base import DynamicPolicy
from secateur.pipeline.context import Context
from secateur.pipeline.methods.base import Pruned
from secateur.pipeline.training import train_with_policy
from secateur.training.sampling import Sampling


def train_and_prune(context: Context, policy: DynamicPolicy, num_keep: int) -> Pruned:
    """Train with a policy (or find it trained) and return its final static mask and realized ratio."""
    trained = train_with_policy(context, Sampling(policy, context.data.pool, num_keep))
    mask = Mask.load(trained.path / "mask.parquet", context.data.fingerprint)
    realized = trained.summary["realized_pruning_ratio"]
    return Pruned(mask, trained=trained, realized_pruning_ratio=realized)
