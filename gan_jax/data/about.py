"""What a set is, in words and as a run remembers it; and what differs where it is no longer the same."""

import hashlib
import pathlib
import textwrap
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gan_jax.errors import UserError
from gan_jax.reports import scalars

if TYPE_CHECKING:  # what runs remember is compared without the libraries that read images
    from gan_jax.data.fitting import ImageSet

FILE = "data.jsonl"  # in the folder of a run: what was trained on from a step on, and each split when first compared
MOST_NAMES = 20  # of classes in a line


class About(NamedTuple):
    """A split of a set.

    classes: their names, in the order of the labels. counts: images of each, () where these were not counted. left_out:
    what lies beside the images, and why it is none of them. digest: of all that the set holds.
    """

    name: str
    split: str
    count: int  # type: ignore[assignment]  # hides the method of tuples
    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    left_out: tuple[str, ...] = ()
    digest: str = ""


def digest_of(words: str, *arrays: np.ndarray) -> str:
    """Of what arrays hold, after words that say what the bytes alone do not, such as their shapes; in hex."""
    digest = hashlib.sha256(words.encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def about(images: "ImageSet", split: str, labels: np.ndarray | None = None) -> About:
    """What is known of a set that was opened, and of its labels if they were read."""
    counts = [] if labels is None else np.bincount(labels, minlength=len(images.classes)).tolist()
    return About(
        images.name,
        split,
        len(images),
        images.shape,
        images.classes,
        tuple(counts) if images.classes else (),
        images.left_out,
        images.digest,
    )


def line(found: About) -> str:
    """The set in one line: how many images of which shape, classes in their order, what was left out."""
    shape = " x ".join(map(str, found.shape)) if found.shape[0] else f"different sizes, {found.shape[2]} channels"
    words = f"{found.name}, {found.split}: {found.count:,} images of {shape}"
    if found.classes:
        words += f"; {len(found.classes):,} classes: {', '.join(_classes(found))}"
    return f"{words}; left out: {', '.join(found.left_out)}" if found.left_out else words


def _classes(found):
    counts = [f" ({count:,})" for count in found.counts] or [""] * len(found.classes)
    named = [name + count for name, count in zip(found.classes, counts, strict=True)]
    return named if len(named) <= MOST_NAMES else [*named[: MOST_NAMES - 1], "...", named[-1]]


# ------------------------------------------------------------------------------------------ what a run remembers


def remembered(workdir: pathlib.Path, split: str = "train") -> About | None:
    """What the run knew last of a split; None where it never met it, or began before such things were kept."""
    path = workdir / FILE
    found = [record for record in scalars.read(path) if record.get("split") == split]
    try:
        return _parsed(found[-1]) if found else None
    except (TypeError, ValueError, KeyError):
        raise UserError(
            f"{path} is not as this program writes it: move it away, and the set is looked at anew"
        ) from None


def _parsed(record):
    tuples = {name: tuple(record[name]) for name in ("shape", "classes", "counts", "left_out")}
    if len(tuples["counts"]) not in (0, len(tuples["classes"])) or not all(type(n) is int for n in tuples["counts"]):
        raise ValueError
    if not all(isinstance(name, str) for name in tuples["classes"]):
        raise ValueError
    return About(record["name"], record["split"], int(record["count"]), digest=record["digest"], **tuples)


def remember(workdir: pathlib.Path, step: int, found: About) -> None:
    """Adds a line to data.jsonl, unless the last one of this split says the same of what the set holds."""
    known = remembered(workdir, found.split)
    if known is None or differences(known, found):
        scalars.append(workdir / FILE, {"step": step} | found._asdict())


def differences(known: About, found: About) -> str:
    """How what was found differs from what is known of the split, in words; "" where it does not.

    Where the set lies, and what lies beside its images, counts for nothing.
    """
    if (known.digest, known.shape, known.classes) == (found.digest, found.shape, found.classes):
        return ""
    words = []
    if known.count != found.count:
        words.append(f"{found.count:,} images instead of {known.count:,}")
    if known.shape != found.shape:
        words.append(" instead of ".join(" x ".join(map(str, a.shape)) for a in (found, known)))
    if known.classes != found.classes:
        words.append(f"classes {_few(found.classes)} instead of {_few(known.classes)}")
    elif known.counts and found.counts:
        changed = zip(found.classes, found.counts, known.counts, strict=True)
        words += [f"{now:,} of {name} instead of {before:,}" for name, now, before in changed if now != before][:5]
    return "; ".join(words) or "as many images, but others"


def _few(names):
    return textwrap.shorten(", ".join(names) or "none", 60, placeholder=" ...")
