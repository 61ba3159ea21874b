"""Sets too large for memory: minibatches read ahead by grain, in an order that can be taken up anywhere."""

import os
from typing import Any

import numpy as np

from gan_jax.data.batches import Batch
from gan_jax.data.bursts import NONE, Bursts, at, updates_before
from gan_jax.data.images import ImageSet


class BatchStream:
    """An endless iterator over the minibatches of `images`: every epoch in an order of its own, none cut short.

    next() -> Batch of NumPy arrays, image uint8 [n_critic, b, h, w, c] (a quarter of the transfer; `to_unit` belongs in
    the compiled step), label int32 [n_critic, b]; in a burst, as many minibatches as that has. A batch may straddle two
    epochs. Which images it holds is a function of the seed and its number alone.

    share: (i, n) gives the i-th of n equal parts of every minibatch, b / n samples each: what one of n processes reads.
    """

    def __init__(
        self,
        images: ImageSet,
        seed: int,
        n_critic: int,
        batch_size: int,
        share: tuple[int, int] = (0, 1),
        bursts: Bursts = NONE,
    ):
        import grain.python as grain  # takes a second to import, and only large sets need it

        self._grain = grain
        # Each epoch is shuffled anew. This is random access: nothing is read yet.
        self._shuffled = grain.MapDataset.source(images).shuffle(seed=seed % 2**32).repeat()
        self._batch_size, self._share, self._own = batch_size, share, batch_size // share[1]
        self._n_critic, self._bursts = n_critic, bursts
        self.seek(0)

    def seek(self, step: int) -> None:
        """Goes on with the minibatches of `step`, wherever it is."""
        self._step = step
        threads = min(16, 2 * (os.cpu_count() or 1))
        ahead = max(threads, 2 * self._n_critic * self._own)
        # Single images are read ahead, in threads: grain's processes (mp_prefetch) want absl's flags parsed.
        reading = self._grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead)
        first = updates_before(self._bursts, self._n_critic, step) * self._own
        rows = self._grain.MapDataset.range(first, 2**62).map(self._read)
        self._minibatches = iter(rows.to_iter_dataset(reading).batch(self._own))

    def _read(self, place):
        """The image at a place in the sequence of this share, which takes a part of each minibatch of the whole."""
        batch, row = divmod(place, self._own)
        return self._shuffled[batch * self._batch_size + self._share[0] * self._own + row]

    def __iter__(self) -> "BatchStream":
        return self

    def __next__(self) -> Batch:
        read: list[Any] = [next(self._minibatches) for _ in range(at(self._bursts, self._n_critic, self._step))]
        self._step += 1
        batch: Any = Batch  # whose arrays are JAX's by its types, and NumPy's here
        return batch(*(np.stack([minibatch[name] for minibatch in read]) for name in Batch._fields))
