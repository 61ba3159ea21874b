"""Sets too large for memory: minibatches read ahead by grain, in an order that can be taken up anywhere."""

import os
from typing import Any

from gan_jax.data.batches import Batch
from gan_jax.data.images import ImageSet


class BatchStream:
    """An endless iterator over the minibatches of `images`: every epoch in an order of its own, none cut short.

    next() -> Batch of NumPy arrays, image uint8 [n_critic, b, h, w, c] (a quarter of the transfer; `to_unit` belongs in
    the compiled step), label int32 [n_critic, b]. A batch may straddle two epochs.
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
        batch: Any = next(self._batches)
        image, label = batch["image"], batch["label"]
        return Batch(image.reshape(*self._leading, *image.shape[1:]), label.reshape(self._leading))

    def get_state(self) -> dict[str, Any]:
        """The position, as JSON can hold it: of the next batch to be given, whatever has been read ahead."""
        return self._batches.get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on exactly where get_state() was taken; set, seed, n_critic and batch size must be the same."""
        self._batches.set_state(state)
