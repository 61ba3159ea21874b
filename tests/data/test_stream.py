import numpy as np
import pytest

from gan_jax.data.bursts import Bursts
from gan_jax.data.fitting import ImageSet
from gan_jax.data.stream import BatchStream
from gan_jax.errors import UserError


def numbered(count):
    """A set whose image i is filled with i and has the label i."""
    return ImageSet("numbered", (2, 2, 1), (), count, lambda i: (np.full((2, 2, 1), i, np.uint8), i), int)


def labels(stream, batches):
    return [next(stream).label.tolist() for _ in range(batches)]


def test_batches_have_their_shape_and_their_own_labels():
    batch = next(BatchStream(numbered(23), 0, 2, 4))
    assert (batch.image.shape, batch.image.dtype) == ((2, 4, 2, 2, 1), np.uint8)
    assert (batch.label.shape, batch.label.dtype) == ((2, 4), np.int32)
    np.testing.assert_array_equal(batch.image[..., 0, 0, 0], batch.label)


def test_every_sample_comes_once_per_epoch_in_another_order():
    stream = BatchStream(numbered(23), 0, 2, 4)
    epochs = np.ravel(labels(stream, 9))[:69].reshape(3, 23)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(23), (3, 1)))
    assert len({tuple(epoch) for epoch in epochs}) == 3


@pytest.mark.parametrize("at", [0, 1, 5])
def test_a_resumed_stream_equals_the_uninterrupted_one(at):
    stream = BatchStream(numbered(23), 7, 2, 4)
    labels(stream, at)
    expected = labels(stream, 8)
    resumed = BatchStream(numbered(23), 7, 2, 4)
    labels(resumed, 3)
    resumed.seek(at)
    assert labels(resumed, 8) == expected


@pytest.mark.parametrize("at", [0, 1, 2, 3, 7])
def test_a_stream_with_bursts_has_the_same_images_in_steps_of_other_sizes(at):
    """Steps 0, 1, 3 and 6 have five minibatches, the others two."""
    numbers = [5, 5, 2, 5, 2, 2, 5, 2]
    minibatches = np.concatenate(labels(BatchStream(numbered(23), 7, 1, 4), sum(numbers)))
    stream = BatchStream(numbered(23), 7, 2, 4, bursts=Bursts(5, 2, 3))
    stream.seek(at)
    found, first = labels(stream, len(numbers) - at), sum(numbers[:at])
    assert [len(batch) for batch in found] == numbers[at:]
    np.testing.assert_array_equal(np.concatenate(found), minibatches[first:])


def test_the_shares_of_processes_make_up_the_minibatches_of_one():
    whole = labels(BatchStream(numbered(23), 7, 2, 6), 9)
    shares = [BatchStream(numbered(23), 7, 2, 6, (i, 3)) for i in range(3)]
    parts = [labels(share, 5) for share in shares]
    assert np.concatenate(parts, axis=2).tolist() == whole[:5]
    shares[1].seek(8)
    assert labels(shares[1], 1)[0] == [minibatch[2:4] for minibatch in whole[8]]


def test_the_order_is_a_function_of_the_seed():
    assert labels(BatchStream(numbered(23), 1, 2, 4), 3) == labels(BatchStream(numbered(23), 1, 2, 4), 3)
    assert labels(BatchStream(numbered(23), 1, 2, 4), 3) != labels(BatchStream(numbered(23), -1, 2, 4), 3)


def test_an_error_while_reading_ahead_reaches_the_caller():
    def read(index):
        raise UserError("image 3 is broken")

    with pytest.raises(UserError, match="image 3 is broken"):
        next(BatchStream(ImageSet("broken", (2, 2, 1), (), 8, read, int), 0, 1, 4))
