"""Sets too large for memory: minibatches read ahead by grain, in an order that can be taken up anywhere."""

import os
from typing import Any

from gan_jax.data.batches import Batch
from gan_jax.data.images import ImageSet


class BatchStream:
    """An endless iterator over the minibatches of `images`: every epoch in an order of its own, none cut short.

    next() -> Batch of NumPy arrays, image uint8 [n_critic, b, h, w, c] (a quarter of the transfer; `to_unit` belongs in
    the compiled step), label int32 [n_critic, b]. A batch may straddle two epochs. Which images it holds is a function
    of the seed and its number alone.

    share: (i, n) gives the i-th of n equal parts of every minibatch, b / n samples each: what one of n processes reads.
    """

    def __init__(self, images: ImageSet, seed: int, n_critic: int, batch_size: int, share: tuple[int, int] = (0, 1)):
        import grain.python as grain  # takes a second to import, and only large sets need it

        self._grain = grain
        # Each epoch is shuffled anew. This is random access: nothing is read yet.
        self._shuffled = grain.MapDataset.source(images).shuffle(seed=seed % 2**32).repeat()
        self._batch_size, self._share = batch_size, share
        self._leading = (n_critic, batch_size // share[1])
        self.seek(0)

    def seek(self, step: int) -> None:
        """Goes on with the minibatches of `step`, wherever it is."""
        count = self._leading[0] * self._leading[1]
        threads = min(16, 2 * (os.cpu_count() or 1))
        # Single images are read ahead, in threads: grain's processes (mp_prefetch) want absl's flags parsed.
        reading = self._grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(threads, 2 * count))
        rows = self._grain.MapDataset.range(step * count, 2**62).map(self._read)
        self._batches = iter(rows.to_iter_dataset(reading).batch(count))

    def _read(self, place):
        """The image at a place in the sequence of this share, which takes a part of each minibatch of the whole."""
        batch, row = divmod(place, self._leading[1])
        return self._shuffled[batch * self._batch_size + self._share[0] * self._leading[1] + row]

    def __iter__(self) -> "BatchStream":
        return self

    def __next__(self) -> Batch:
        batch: Any = next(self._batches)
        image, label = batch["image"], batch["label"]
        return Batch(image.reshape(*self._leading, *image.shape[1:]), label.reshape(self._leading))
