"""A file in pieces that fit a transfer, each with its number, how many there are, and its checksum in its name."""

import hashlib
import pathlib
from collections.abc import Iterator, Sequence


def cut(whole: pathlib.Path, size: int) -> Iterator[tuple[str, bytes]]:
    """(01-of-05-SHA256, content) of each piece of at most `size` bytes; 16 digits of the checksum of the content."""
    count = -(-whole.stat().st_size // size)
    with whole.open("rb") as file:
        for number in range(1, count + 1):
            content = file.read(size)
            yield f"{number:02d}-of-{count:02d}-{hashlib.sha256(content).hexdigest()[:16]}", content


def is_whole(piece: pathlib.Path) -> bool:
    """Whether its content has the checksum that its name ends with."""
    with piece.open("rb") as file:
        return piece.stem.endswith(hashlib.file_digest(file, "sha256").hexdigest()[:16])


def numbers(piece: pathlib.Path) -> tuple[int, int]:
    """(its number, of how many)."""
    number, _, count, _ = piece.stem.removeprefix("checkpoint-").split("-")
    return int(number), int(count)


def without_gap(pieces: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """Those from the first on, up to the first that is missing."""
    ordered = sorted(pieces, key=numbers)
    return [piece for i, piece in enumerate(ordered) if numbers(piece)[0] == i + 1]
