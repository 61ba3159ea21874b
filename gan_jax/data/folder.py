"""Folders of images, as people have them: which files are images, what their classes are, and what is left out.

A file is an image by its content. Class folders, the splits train/, val/ and test/, and the labels in the dataset.json
of StyleGAN's tools are seen as what they are. What is left out is counted, and said.
"""

import hashlib
import os
import pathlib
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from PIL import Image, ImageColor

from gan_jax.data.fitting import (
    FORMATS,
    BrokenImageError,
    ImageSet,
    broken,
    decodable,
    fitted,
    is_deep,
    on_all_cores,
    opened,
)
from gan_jax.errors import UserError
from gan_jax.files import atomic
from gan_jax.files.names import natural

# Called so, a file is meant to be an image, and broken where it is none.
_SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
_SUFFIXES_OF_1 = (".png", ".jpg", ".jpeg", ".webp", ".bmp")  # all that `data.reading` 1 looks at
READING = 2  # what `data.reading` is for new runs
# PIL's modes that become one channel; others become RGB.
_GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")
_ORIENTATION = 0x0112  # EXIF's tag; from 5 on, width and height are exchanged
_WINDOW = 2**16  # bytes at either end of a file that the digest is of
_WHOLE = ("BMP", "PPM", "TIFF")  # which hardly compress: with other pixels they may have the same size and ends
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


class _Header(NamedTuple):
    """What is known of an image before it is decoded.

    size: (h, w) as it is shown. is_deep: 16 bits a channel. orientation: EXIF's, 1 where it stands upright.
    """

    size: tuple[int, int]
    mode: str
    is_transparent: bool
    is_deep: bool
    orientation: int
    digest: bytes


class _Labelled(NamedTuple):
    """Images by their paths, with the label of each; what was left out, in words."""

    paths: list[pathlib.Path]
    labels: list[int]
    classes: tuple[str, ...]
    left_out: list[str]


def open_folder(
    data_dir: str, image_size: int, split: str, background: str, reading: int, any_size: bool = False
) -> ImageSet:
    """All images below data_dir, sorted by path.

    Grey images stay grey where all are, and the background is; else all become RGB. reading: 2 as this module says; 1
    as before 2026-12, for runs that began so: files by their suffix, classes in text order, no splits, no orientation,
    transparency as the colours that it hides.
    Raises UserError where the folder holds no image, a split is not there, or an image can't be used.
    """
    root = pathlib.Path(data_dir).expanduser()
    if not data_dir or not os.path.isdir(root):
        raise UserError(f"data.name=folder needs data.dir to be a folder of images; got {data_dir!r}")
    paths, left_out = _files(root, reading)
    paths, headers, others = _images(root, paths, reading)
    if reading > 1:
        root, paths, headers = _unwrapped(root, paths, headers)
    table = _table(root) if reading > 1 else None
    others = [name for name in others if table is None or name != "dataset.json"]
    if not paths:
        what = others or left_out
        raise UserError(
            f"data.dir={data_dir} holds no image ({', '.join(FORMATS)}) at any depth"
            f"{f', but {_few(what)}' if what else ''}: name another folder"
        )
    found = _labelled(root, paths, split, table) if reading > 1 else _labelled_1(paths, split)
    words = [*_words("file that is no image", "files that are no images", others), *found.left_out, *left_out]
    kept = [headers[path] for path in found.paths]
    shown_on = background if reading > 1 and any(header.is_transparent for header in kept) else ""
    is_grey = all(header.mode in _GREY for header in kept) and _is_grey(shown_on)
    sizes = {header.size for header in kept}

    def raw(i):
        return opened(root / found.paths[i], root / found.paths[i]), found.labels[i]

    return fitted(
        f"folder {data_dir}",
        raw,
        len(kept),
        sizes.pop() if len(sizes) == 1 else None,
        1 if is_grey else 3,
        image_size,
        shown_on,
        is_upright=reading > 1,
        done=tuple(_done(kept, reading, shown_on, is_grey)),
        any_size=any_size,
        classes=found.classes,
        label=lambda i: found.labels[i],
        digest=_digest(found, kept),
        left_out=tuple(words),
    )


def _done(headers, reading, shown_on, is_grey):
    """What is done to the images besides their sizes, in words."""
    if any(header.is_deep for header in headers):
        yield "16 bits a channel as 8"
    if any(header.orientation > 1 for header in headers):
        yield "turned upright by EXIF" if reading > 1 else "not turned upright"
    if not shown_on and any(header.is_transparent for header in headers):
        yield "the colours that transparency hides"
    if not is_grey and any(header.mode in _GREY for header in headers):
        yield "grey as three channels"


def _is_grey(colour):
    return not colour or len({*ImageColor.getrgb(colour)}) == 1


def _digest(found, headers):
    """Of names, labels and contents; not of where the folder lies."""
    content = hashlib.sha256()
    for path, label, header in zip(found.paths, found.labels, headers, strict=True):
        content.update(os.fsencode(path.as_posix()) + f"\0{label}\0".encode() + header.digest)
    return content.hexdigest()


# ------------------------------------------------------------------------------------------------ which files


def _files(root: pathlib.Path, reading: int) -> tuple[list[pathlib.Path], list[str]]:
    """(all that may be images, relative to root and sorted; what was left out, in words)."""
    hidden: list[str] = []
    again: list[str] = []
    walked = _walk(root, hidden, again) if reading > 1 else _walk_1(root)
    paths = sorted(map(pathlib.Path, walked))
    return paths, [
        *_words("hidden file or folder", "hidden files and folders", hidden),
        *_words("link to a folder that is here already", "links to folders that are here already", again),
    ]


def _walk(root, hidden, again) -> Iterator[str]:
    """Files at any depth. Links are followed, but below a topmost folder none to root or twice to the same folder."""
    for name in _entries(root, "", hidden):
        if os.path.isdir(root / name):
            yield from _walk_below(root, name, {os.path.realpath(root)}, hidden, again)
        else:
            yield name


def _walk_below(root, folder, seen, hidden, again):
    place = os.path.realpath(root / folder)
    if place in seen:
        again.append(folder)
        return
    seen.add(place)
    for path in _entries(root, folder, hidden):
        if os.path.isdir(root / path):
            yield from _walk_below(root, path, seen, hidden, again)
        else:
            yield path


def _entries(root, folder, hidden):
    try:
        names = sorted(os.listdir(root / folder))
    except OSError as error:
        raise _unreadable(error) from None
    hidden += [os.path.join(folder, name) for name in names if name.startswith(".")]
    return [os.path.join(folder, name) for name in names if not name.startswith(".")]


def _walk_1(root):
    for folder, folders, files in os.walk(root, onerror=_refuse_folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if pathlib.Path(name).suffix.lower() in _SUFFIXES_OF_1 and not name.startswith("."):
                yield os.path.relpath(os.path.join(folder, name), root)


def _refuse_folder(error):
    raise _unreadable(error)


def _unreadable(error):
    return UserError(f"data.dir: {error.filename} can't be read ({error.strerror}): let it be read, or move it away")


def _unwrapped(root, paths, headers):
    """The same without a folder that holds all the others, as what was an archive has one; train/ is none."""
    top = next((path.parts[0] for path in paths), "")
    is_one = all(path.parts[0] == top and len(path.parts) > 1 for path in paths) and bool(top)
    if not is_one or SPLITS.get(top.lower()) == "train" or _table(root) is not None:
        return root, paths, headers
    inner = {path: path.relative_to(top) for path in paths}
    return _unwrapped(root / top, list(inner.values()), {inner[path]: header for path, header in headers.items()})


def _images(root, paths, reading):
    """(paths of images, their headers by path, names of other files)."""
    try:
        found = on_all_cores(lambda i: _header(root / paths[i], reading), len(paths), "looking at images")
    except UserError:  # as some are broken: those are named too whose pixels are
        on_all_cores(lambda i: _decoded(root / paths[i], reading), len(paths), "looking for broken images")
        raise
    headers = {path: header for path, header in zip(paths, found, strict=True) if header}
    return list(headers), headers, [path.as_posix() for path in paths if path not in headers]


def _header(path: pathlib.Path, reading: int) -> _Header | None:
    """None where the file is no image, and isn't called one; a BrokenImageError of what can't be used."""
    is_called_so = path.suffix.lower() in _SUFFIXES
    if not os.path.isfile(path):  # a pipe would be waited for
        if is_called_so:
            raise broken(path, "it is no file, or a link that leads to none")
        return None
    try:
        return _read_header(path, reading)
    except BrokenImageError:
        if is_called_so or _is_identified(path):
            raise
        return None


def _decoded(path, reading):
    return _header(path, reading) and opened(path, path).size


def _is_identified(path):
    """Whether it is an image, if one that can't be used, as an animated one."""
    try:
        with Image.open(path, formats=FORMATS):
            return True
    except Exception:
        return False


def _read_header(path, reading):
    with decodable(path, path) as image, open(path, "rb") as file:
        start = file.read(_WINDOW)
        size = os.fstat(file.fileno()).st_size
        if image.format not in _WHOLE:
            file.seek(max(_WINDOW, size - _WINDOW))
        content = hashlib.sha256(f"{size}\0".encode() + start + file.read())
        mode, deep, orientation = image.mode, is_deep(image), _orientation(image, start)
        is_turned = reading > 1 and orientation >= 5 and image.format != "TIFF"  # which Pillow has upright by itself
        width, height = image.size[::-1] if is_turned else image.size
        return _Header((height, width), mode, image.has_transparency_data, deep, orientation, content.digest())


def _orientation(image, start):
    """EXIF's, 1 where it says none."""
    if image.format == "PNG" and b"eXIf" in start:
        image.load()  # only then is what stands behind the pixels known
    is_said = image.format == "TIFF" or image.info.get("exif")
    orientation = image.getexif().get(_ORIENTATION, 1) if is_said else 1
    return orientation if orientation in range(1, 9) else 1


# ------------------------------------------------------------------------------------------------ labels


def _labelled(root, paths, split, table):
    """The images of a split, with classes that are those of all splits."""
    splits = _splits(paths)
    inner = {path: path.relative_to(path.parts[0]) if splits else path for path in paths}
    left_out = []
    if splits:
        beside = [path for path in paths if path.parts[0] not in splits]
        left_out += _words("image beside the splits", "images beside the splits", beside)
        paths = [path for path in paths if path.parts[0] in splits]
    chosen = _of_split(root, paths, splits, split)
    if table is not None:
        return _labelled_by_table(chosen, table, left_out)
    classes = _class_folders([inner[path] for path in paths])
    if not classes:
        return _Labelled(chosen, [0] * len(chosen), (), left_out + _words_of_none(inner[path] for path in paths))
    within = {inner[path].parts[1].lower() for path in paths if len(inner[path].parts) > 2}
    if within and within <= {*SPLITS}:
        left_out.append(f"splits within classes ({_few(sorted(within))}): all are taken")
    beside = [path for path in chosen if len(inner[path].parts) == 1]
    left_out += _words("image beside the class folders", "images beside the class folders", beside)
    kept = [path for path in chosen if len(inner[path].parts) > 1]
    number = {name: label for label, name in enumerate(classes)}
    labels = [number[inner[path].parts[0]] for path in kept]
    empty = [] if splits else sorted(_folders(root) - {*classes})
    left_out += _words("folder without images", "folders without images", empty)
    return _Labelled(kept, labels, tuple(classes), left_out)


def _splits(paths):
    """{folder: split} where the topmost folders are splits; {} where they are classes, or something else.

    A folder train/ alone may be the class of trains: it is a split where nothing else lies beside it, or another split.
    """
    tops = {path.parts[0] for path in paths if len(path.parts) > 1}
    splits = {name: SPLITS[name.lower()] for name in sorted(tops) if name.lower() in SPLITS}
    is_whole = len(splits) == len(tops) and (len(splits) > 1 or "train" in splits.values())
    return splits if is_whole or (len(splits) > 1 and "train" in splits.values()) else {}


def _of_split(root, paths, splits, split):
    if not splits:
        if split not in ("train", "all"):
            raise UserError(
                f"folder has no split {split!r}, only one that serves as 'train' and 'all': use either, or sort the "
                "images into train/ and test/"
            )
        return paths
    wanted = SPLITS.get(split, split)
    chosen = [path for path in paths if wanted == "all" or splits[path.parts[0]] == wanted]
    if not chosen:
        there = ", ".join(dict.fromkeys(splits.values()))
        raise UserError(f"data.dir={root} has no split {split!r}: choose from {there}, all, or name a folder within it")
    return chosen


def _class_folders(paths):
    """The names of the classes in their order; none for fewer than two.

    Most images lie in class folders, or these are none.
    """
    tops = Counter(path.parts[0] for path in paths if len(path.parts) > 1)
    strays = sum(len(path.parts) == 1 for path in paths)
    if len(tops) < 2 or strays >= tops.total():
        return []
    return in_order(tops)


def _words_of_none(paths):
    """Why folders are no classes."""
    tops = sorted({path.parts[0] for path in paths if len(path.parts) > 1})
    return [f"classes, for most images do not lie in {_few(tops)}"] if tops else []


def in_order(names: Any) -> list[str]:
    """Names of classes in the order of their labels: by number where all are numbers, else as people count."""
    if all(_NUMBER.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: (float(name), name))
    return sorted(names, key=natural)


def _folders(root):
    return {entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith(".")}


def _table(root) -> Any:
    """The labels in dataset.json, as StyleGAN's tools write it: {path: label}, {} for none. None: no such file."""
    try:
        content = atomic.read_json(root / "dataset.json")
        labels = content["labels"]
        return {} if labels is None else {str(path): label for path, label in dict(labels).items()}
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _labelled_by_table(paths, table, left_out):
    if not table:
        return _Labelled(paths, [0] * len(paths), (), left_out)
    numbers = {path: _class_number(label) for path, label in table.items()}
    if None in numbers.values():
        return _Labelled(paths, [0] * len(paths), (), [*left_out, "labels of dataset.json that are no classes"])
    kept = [path for path in paths if path.as_posix() in numbers]
    without = [path for path in paths if path.as_posix() not in numbers]
    left_out = [
        *left_out,
        *_words("image that dataset.json does not label", "images that dataset.json does not label", without),
    ]
    if not kept:
        raise UserError(f"dataset.json has labels of other files than {without[0]}: mend it, or move it away")
    classes = tuple(map(str, range(max(numbers.values()) + 1)))
    return _Labelled(kept, [numbers[path.as_posix()] for path in kept], classes, left_out)


def _class_number(label):
    """A whole number, or the place of the one in a one-hot vector; None of anything else."""
    if isinstance(label, list) and label.count(1) == 1 and label.count(0) == len(label) - 1:
        return label.index(1)
    return label if type(label) is int and 0 <= label < 2**16 else None


def _labelled_1(paths, split):
    if split not in ("train", "all"):
        raise UserError(f"folder has no split {split!r}, only one that serves as 'train' and 'all': use either")
    is_classed = all(len(path.parts) > 1 for path in paths)
    classes = sorted({path.parts[0] for path in paths}) if is_classed else []
    labels = [classes.index(path.parts[0]) if classes else 0 for path in paths]
    return _Labelled(paths, labels, tuple(classes), [])


# ------------------------------------------------------------------------------------------------ in words


def _words(one, many, names):
    """["3 files that are no images (a.txt, b.csv, ...)"]; [] for none."""
    return [f"{len(names):,} {one if len(names) == 1 else many} ({_few(names)})"] if names else []


def _few(names):
    return ", ".join(map(str, names[:3])) + (", ..." if len(names) > 3 else "")
