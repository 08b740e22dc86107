"""For people with their own Lightning loop: the loaders of a data set as a LightningDataModule."""

from pytorch_lightning import LightningDataModule

from secateur.core.errors import ConfigError
from secateur.core.mask import Mask
from secateur.core.parquet import check_fingerprint
from secateur.data.loaders import ImageLoader
from secateur.data.order import Shuffled
from secateur.data.prepared import PreparedData, prepare
from secateur.data.recipe import DataRecipe


class ImageDataModule(LightningDataModule):
    """Trains on the pool, or on the samples a mask keeps; batches are ``Batch(x, y, sample_id)``.

    Args:
        recipe: the data set.
        batch_size: samples per batch, for training and evaluation.
        seed: seed of the order and of the augmentation.
        mask: the samples to train on, or None for the whole pool.

    Raises:
        ConfigError: the trainer runs more than one process (this module does not divide samples among them).
        FingerprintError: the mask was made for another pool.

    Example:
        >>> from secateur.data.digits import DigitsData
        >>> module = ImageDataModule(DigitsData(), batch_size=128)
        >>> module.setup("fit")
        >>> len(module.train_dataloader())
        12
    """

    def __init__(self, recipe: DataRecipe, batch_size: int, seed: int = 0, mask: Mask | None = None) -> None:
        super().__init__()
        self.recipe = recipe
        self.batch_size = batch_size
        self.seed = seed
        self.mask = mask
        self._data: PreparedData | None = None

    @property
    def data(self) -> PreparedData:
        """The prepared data set; prepared when first asked for."""
        if self._data is None:
            self._data = prepare(self.recipe)
        return self._data

    def prepare_data(self) -> None:
        """Raise :class:`DataError` early when the data cannot be there."""
        self.recipe.check()

    def setup(self, stage: str) -> None:
        """Read labels, split, and check the mask."""
        if self.trainer is not None and self.trainer.world_size > 1:
            raise ConfigError(
                f"ImageDataModule serves one process, but the trainer runs {self.trainer.world_size}: every "
                "process would see all samples. Use devices=1, or give PreparedData an order of your own."
            )
        if self.mask is not None and self.mask.fingerprint:
            check_fingerprint(self.mask.fingerprint, self.data.fingerprint, "The mask")

    def train_dataloader(self) -> ImageLoader:
        """Return the shuffled, augmented training samples."""
        kept = self.data.pool if self.mask is None else self.mask.kept_ids
        order = Shuffled(kept, self.seed)
        return self.data.train_loader(order, self.batch_size, self.seed, device=self._device)

    def val_dataloader(self) -> ImageLoader | list[ImageLoader]:
        """Return the validation split; no loader when nothing is held out."""
        if len(self.data.validation) == 0:
            return []
        return self.data.eval_loader("validation", self.batch_size, device=self._device)

    def test_dataloader(self) -> ImageLoader:
        """Return the test split."""
        return self.data.eval_loader("test", self.batch_size, device=self._device)

    @property
    def _device(self) -> str:
        return "cpu" if self.trainer is None else str(self.trainer.strategy.root_device)
