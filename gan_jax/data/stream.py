"""Sets too large for memory: minibatches read ahead by grain, in an order that can be taken up anywhere."""

import os
from typing import Any

import numpy as np

from gan_jax.data.batches import Batch
from gan_jax.data.images import ImageSet


class BatchStream:
    """An endless iterator over the minibatches of `images`: each epoch in an order of its own, batches across their ends.

    next() -> Batch of NumPy arrays, image uint8 [n_critic, b, h, w, c] (a quarter of the transfer; `to_unit` belongs in
    the compiled step), label int32 [n_critic, b]. get_state() -> what JSON can hold; set_state() of it goes on exactly
    there, in this or another process, given the same set, seed, n_critic and batch size.
    """

    def __init__(self, images: ImageSet, seed: int, n_critic: int, batch_size: int):
        import grain.python as grain  # takes a second to import, and only large sets need it

        self._leading = (n_critic, batch_size)
        count = n_critic * batch_size
        threads = min(16, 2 * (os.cpu_count() or 1))
        # Single images are read ahead, in threads: grain's processes (mp_prefetch) want absl's flags parsed.
        reading = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(threads, 2 * count))
        shuffled = grain.MapDataset.source(images).shuffle(seed=seed % 2**32).repeat()  # each epoch shuffled anew
        self._batches = iter(shuffled.to_iter_dataset(reading).batch(count))

    def __iter__(self) -> "BatchStream":
        return self

    def __next__(self) -> Batch:
        batch = next(self._batches)
        image, label = batch["image"], np.asarray(batch["label"], np.int32)
        return Batch(image.reshape(*self._leading, *image.shape[1:]), label.reshape(self._leading))

    def get_state(self) -> dict[str, Any]:
        return self._batches.get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        self._batches.set_state(state)
