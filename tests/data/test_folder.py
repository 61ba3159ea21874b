"""Folders as people have them, each made here with Pillow alone."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from gan_jax.data.about import about, differences, line
from gan_jax.data.folder import in_order
from gan_jax.data.images import open_images, read_images
from gan_jax.errors import UserError


def write(path, colour=0, size=(6, 4), mode="RGB", **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **how)


def open_all(folder, split="train", image_size=0, background="white", reading=2):
    images = open_images("folder", str(folder), image_size, split, background, reading)
    return images, *read_images(images, np.arange(len(images)))


# ------------------------------------------------------------------------------------------------ which files


@pytest.mark.parametrize(("name", "kind"), [
    ("a.tif", "TIFF"), ("a.tiff", "TIFF"), ("a.gif", "GIF"), ("a.jfif", "JPEG"),
    ("a", "PNG"), ("a.dat", "WEBP"), ("a.ppm", "PPM"), ("a.png", "JPEG"),
])  # fmt: skip
def test_images_are_known_by_their_content(name, kind, tmp_path):
    write(tmp_path / "0.png", (200, 0, 0))
    write(tmp_path / name, (200, 0, 0), format=kind)
    images, pixels, _ = open_all(tmp_path)
    assert (len(images), images.left_out) == (2, ())
    np.testing.assert_allclose(pixels[:, 2, 3].astype(int), [[200, 0, 0]] * 2, atol=3)


def test_what_is_no_image_is_left_out_and_counted(tmp_path):
    write(tmp_path / "0.png")
    for name in ("labels.csv", "readme", "P5", "empty"):
        (tmp_path / name).write_text("P5 is no picture" if name == "P5" else "" if name == "empty" else "text")
    write(tmp_path / ".cache/1.png")
    (tmp_path / ".hidden").write_text("")
    os.mkfifo(tmp_path / "pipe")
    images, pixels, _ = open_all(tmp_path)
    assert len(pixels) == 1
    assert images.left_out == (
        "5 files that are no images (P5, empty, labels.csv, ...)",
        "2 hidden files and folders (.cache, .hidden)",
    )


def test_all_broken_files_are_named_in_one_message(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    for number in range(6):
        noise.save(tmp_path / f"{number}.png")
    for number in (1, 3):  # whose headers are whole
        content = (tmp_path / f"{number}.png").read_bytes()
        (tmp_path / f"{number}.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(
        UserError, match=r"^2 images are not readable: .*1\.png \(.*3\.png \(.*replace or remove"
    ) as error:
        open_all(tmp_path)
    assert "2.png" not in str(error.value)
    for number in (0, 2, 5):
        (tmp_path / f"{number}.png").write_bytes(b"no image")
    Image.new("F", (4, 4)).save(tmp_path / "6.png", format="TIFF")
    Image.new("L", (4, 4)).save(tmp_path / "7.gif", save_all=True, append_images=[Image.new("L", (4, 4), 255)])
    with pytest.raises(
        UserError, match=r"^7 images are not readable: .*0\.png.*1\.png.*2\.png.*3\.png.*5\.png.*'F' pixels.*frame"
    ):
        open_all(tmp_path)


# ------------------------------------------------------------------------------------------------ what they show


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(("orientation", "quarters"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_images_stand_upright(kind, orientation, quarters, tmp_path):
    """EXIF's 6: the picture is to be turned a quarter clockwise, which is three quarters to the left."""
    pixels = np.zeros((40, 24, 3), np.uint8)
    pixels[:20, :12] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a", format=kind, exif=exif)
    images, found, _ = open_all(tmp_path)
    expected = np.rot90(pixels, quarters)
    assert images.shape == expected.shape
    corners = (slice(5, None, 10), slice(5, None, 10))
    np.testing.assert_allclose(found[0][corners].astype(int), expected[corners], atol=10)


def test_an_orientation_that_stands_behind_the_pixels_counts_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 4)).save(tmp_path / "a.png", exif=exif)
    content = (tmp_path / "a.png").read_bytes()
    start = content.index(b"eXIf") - 4
    stop = start + 12 + int.from_bytes(content[start : start + 4], "big")
    end = content.index(b"IEND") - 4
    (tmp_path / "a.png").write_bytes(content[:start] + content[stop:end] + content[start:stop] + content[end:])
    assert open_all(tmp_path)[0].shape == (6, 4, 3)


@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (255, 0, 0, 102)), ("LA", (100, 51)), ("PA", None), ("P", None)])
def test_transparent_pixels_are_shown_on_the_background(mode, colour, tmp_path):
    if colour is None:  # a palette of one colour, half transparent
        image = Image.new("P", (6, 4), 0)
        image.putpalette([10, 20, 30])
        image.save(tmp_path / "a.png", transparency=bytes([128]))
        r, g, b, a = 10, 20, 30, 128
    else:
        write(tmp_path / "a.png", colour, mode=mode)
        r, g, b, a = colour if len(colour) == 4 else (colour[0],) * 3 + (colour[1],)
    share = a / 255
    for background, (red, green, blue) in {"white": (255,) * 3, "#0080ff": (0, 128, 255), "black": (0, 0, 0)}.items():
        images, pixels, _ = open_all(tmp_path, background=background)
        expected = [share * x + (1 - share) * y for x, y in ((r, red), (g, green), (b, blue))]
        assert images.background == background
        np.testing.assert_allclose(pixels[0, 0, 0], expected[: images.shape[2]], atol=1)
        assert images.shape[2] == (1 if mode == "LA" and background != "#0080ff" else 3)


def test_opaque_images_have_no_background(tmp_path):
    write(tmp_path / "a.png", (1, 2, 3))
    assert open_all(tmp_path)[0].background == ""


def turned(path, size=(6, 6)):
    exif = Image.Exif()
    exif[0x0112] = 6
    write(path, size=size, exif=exif)


DONE = {
    "nothing": (lambda f: write(f / "a.png"), {}, "as they are"),
    "turned": (lambda f: turned(f / "a.jpg"), {}, "turned upright by EXIF"),
    "not turned": (lambda f: turned(f / "a.jpg"), {"reading": 1}, "not turned upright"),
    "turned, square, resized": (
        lambda f: turned(f / "a.jpg", (6, 4)), {"image_size": 2},
        "turned upright by EXIF; centre square; Lanczos to 2 x 2",
    ),
    "grey among colours": (
        lambda f: [write(f / "a.png"), write(f / "b.png", mode="L")], {}, "grey as three channels"
    ),
    "grey alone": (lambda f: write(f / "b.png", mode="L"), {}, "as they are"),
    "grey on a colour": (
        lambda f: write(f / "a.png", (1, 0), mode="LA"), {"background": "red"}, "grey as three channels"
    ),
    "hidden colours": (
        lambda f: write(f / "a.png", (1, 2, 3, 0), mode="RGBA"), {"reading": 1}, "the colours that transparency hides"
    ),
    "shown on the background": (lambda f: write(f / "a.png", (1, 2, 3, 0), mode="RGBA"), {}, "as they are"),
    "16 bits": (lambda f: write(f / "a.png", mode="I;16"), {}, "16 bits a channel as 8"),
    "mixed sizes": (
        lambda f: [write(f / "a.png"), write(f / "b.png", size=(5, 5))], {"image_size": 4},
        "centre square; Lanczos to 4 x 4",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DONE)
def test_all_that_is_done_to_images_is_said(kind, tmp_path):
    make, how, words = DONE[kind]
    make(tmp_path)
    assert open_all(tmp_path, **how)[0].fitting == words


def test_images_of_different_sizes_may_stay_so(tmp_path):
    for number, size in enumerate([(6, 4), (5, 7), (6, 4)]):
        write(tmp_path / f"{number}.png", (10 * number, 0, 0), size)
    images = open_images("folder", str(tmp_path), 0, "train", any_size=True)
    assert (images.shape, images.fitting) == ((0, 0, 3), "each of its own size")
    assert [images.read(i)[0].shape for i in range(3)] == [(4, 6, 3), (7, 5, 3), (4, 6, 3)]
    (tmp_path / "1.png").unlink()
    assert open_images("folder", str(tmp_path), 0, "train", any_size=True).shape == (4, 6, 3)


# ------------------------------------------------------------------------------------------------ classes and splits


@pytest.mark.parametrize(("names", "ordered"), [
    (["10", "1", "2", "3"], ["1", "2", "3", "10"]),
    (["-1", "0.5", "10", "2"], ["-1", "0.5", "2", "10"]),
    (["007", "7", "08"], ["007", "7", "08"]),
    (["c10", "c9", "b"], ["b", "c9", "c10"]),
    (["dog", "Cat", "bird"], ["Cat", "bird", "dog"]),
])  # fmt: skip
def test_classes_are_in_the_order_of_their_numbers(names, ordered):
    assert in_order(names) == ordered
    assert in_order(names[::-1]) == ordered


def test_labels_follow_the_numbers_of_class_folders(tmp_path):
    for name in ("1", "2", "3", "10"):
        write(tmp_path / name / "a.png", (int(name), 0, 0))
    images, pixels, labels = open_all(tmp_path)
    assert images.classes == ("1", "2", "3", "10")
    assert [images.classes[label] for label in labels] == [str(red) for red in pixels[:, 0, 0, 0]]
    assert labels.tolist() == [images.label(i) for i in range(4)]
    assert open_all(tmp_path, reading=1)[0].classes == ("1", "10", "2", "3")  # as older runs had it


def test_older_runs_read_their_folders_as_ever(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    write(tmp_path / "a/train/2.png", (1, 2, 3, 0), mode="RGBA")  # hidden colours
    write(tmp_path / "a/train/10.jpg", 0, exif=exif)  # on its side
    write(tmp_path / "a/val/1.png")
    write(tmp_path / "a/val/1.tif")
    write(tmp_path / "a/val/none", format="PNG")
    (tmp_path / "a/link").symlink_to(tmp_path / "a/val")
    images, pixels, labels = open_all(tmp_path / "a", reading=1)
    assert (images.classes, images.shape, labels.tolist()) == (("train", "val"), (4, 6, 3), [0, 0, 1])
    assert (pixels[1, 0, 0].tolist(), images.background, images.left_out) == ([1, 2, 3], "", ())
    write(tmp_path / "a/stray.png")
    images, _, labels = open_all(tmp_path / "a", reading=1)
    assert (images.classes, labels.tolist()) == ((), [0] * 4)


def test_links_are_followed_and_loops_are_not(tmp_path):
    root, store = tmp_path / "set", tmp_path / "store"
    for name in "ab":
        write(store / name / "1.png", (ord(name), 0, 0))
    root.mkdir()
    (root / "a").symlink_to(store / "a")
    (root / "b").symlink_to(store / "b")
    (store / "b/again").symlink_to(root)
    (store / "b/here").symlink_to(".")
    (store / "b/nowhere").symlink_to("nothing")
    images, pixels, labels = open_all(root)
    assert (images.classes, labels.tolist(), pixels[:, 0, 0, 0].tolist()) == (("a", "b"), [0, 1], [97, 98])
    assert images.left_out == (
        "1 file that is no image (b/nowhere)",
        "2 links to folders that are here already (b/again, b/here)",
    )


def test_folders_that_are_linked_to_each_other_are_walked_in_time(tmp_path):
    """All paths without a loop would be 12 factorial."""
    for name in range(12):
        write(tmp_path / str(name) / "a.png")
        for other in range(12):
            (tmp_path / str(name) / f"to{other}").symlink_to(tmp_path / str(other))
    assert len(open_all(tmp_path)[1]) == 12 * 12


@pytest.mark.parametrize("names", [("train", "test"), ("Training", "val"), ("train", "valid", "testing", "raw")])
def test_splits_are_no_classes(names, tmp_path):
    for number, name in enumerate(names):
        write(tmp_path / name / "cat/1.png", (10 * number, 0, 0))
        write(tmp_path / name / ("dog" if number == 0 else "ant") / "1.png", (10 * number + 1, 0, 0))
    images, pixels, labels = open_all(tmp_path)
    assert (images.classes, labels.tolist(), pixels[:, 0, 0, 0].tolist()) == (("ant", "cat", "dog"), [1, 2], [0, 1])
    other, pixels, labels = open_all(tmp_path, {"te": "test", "va": "validation"}[names[1][:2]])
    assert (other.classes, labels.tolist(), pixels[:, 0, 0, 0].tolist()) == (images.classes, [0, 1], [11, 10])
    assert len(open_all(tmp_path, "all")[1]) == 2 * len([name for name in names if name != "raw"])
    with pytest.raises(UserError, match=r"no split 'odd': choose from t"):
        open_all(tmp_path, "odd")
    assert ("2 images beside the splits (raw/ant/1.png, raw/cat/1.png)" in images.left_out) == ("raw" in names)


def test_a_train_may_be_a_class(tmp_path):
    for name in ("train", "bus", "car"):
        write(tmp_path / name / "1.png")
    assert open_all(tmp_path)[0].classes == ("bus", "car", "train")


def test_splits_without_one_to_train_on_say_what_there_is(tmp_path):
    for name in ("val", "test"):
        write(tmp_path / name / "1.png")
    with pytest.raises(UserError, match="no split 'train': choose from test, validation, all, or name a folder within"):
        open_all(tmp_path)


def test_a_stray_picture_beside_class_folders_is_left_out(tmp_path):
    for name in ("a/1", "a/2", "b/1", "cover"):
        write(tmp_path / f"{name}.png")
    images, _, labels = open_all(tmp_path)
    assert (images.classes, labels.tolist()) == (("a", "b"), [0, 0, 1])
    assert images.left_out == ("1 image beside the class folders (cover.png)",)
    for number in range(3):
        write(tmp_path / f"{number}.png")
    assert (open_all(tmp_path)[0].classes, len(open_all(tmp_path)[1])) == ((), 7)  # most lie outside


def test_one_folder_of_images_is_no_class(tmp_path):
    write(tmp_path / "images/1.png")
    images = open_all(tmp_path)[0]
    assert (images.classes, images.left_out) == ((), ())


def test_a_folder_that_holds_all_the_others_counts_for_nothing(tmp_path):
    for name in ("train/a", "train/b", "val/a", "val/b"):
        write(tmp_path / "one" / "shop-1.0" / name / "1.png")
        write(tmp_path / "two" / name / "1.png")
    wrapped, plain = (open_all(tmp_path / name)[0] for name in ("one", "two"))
    assert (wrapped.classes, len(wrapped), wrapped.digest) == (("a", "b"), 2, plain.digest)


def test_folders_that_are_no_classes_are_said(tmp_path):
    for name in ("1", "2", "3", "old/4", "new/5"):
        write(tmp_path / f"{name}.png")
    images = open_all(tmp_path)[0]
    assert (images.classes, len(images)) == ((), 5)
    assert images.left_out == ("classes, for most images do not lie in new, old",)


def test_splits_within_classes_are_said(tmp_path):
    for name in ("cat/train", "cat/test", "dog/train"):
        write(tmp_path / name / "1.png")
    images = open_all(tmp_path)[0]
    assert (images.classes, len(images)) == (("cat", "dog"), 3)
    assert images.left_out == ("splits within classes (test, train): all are taken",)


def test_an_empty_class_folder_is_said(tmp_path):
    for name in "ab":
        write(tmp_path / name / "1.png")
    (tmp_path / "c").mkdir()
    assert open_all(tmp_path)[0].left_out == ("1 folder without images (c)",)


@pytest.mark.parametrize(("labels", "classes", "expected"), [
    (None, (), [0, 0, 0]),
    ([["00000/0.png", 2], ["00000/1.png", 0], ["00001/2.png", 1]], ("0", "1", "2"), [2, 0, 1]),
    ({"00000/0.png": [0, 1], "00000/1.png": [1.0, 0.0], "00001/2.png": [0, 1]}, ("0", "1"), [1, 0, 1]),
    ([["00000/0.png", [0.3, 0.2]], ["00000/1.png", 0], ["00001/2.png", 0]], (), [0, 0, 0]),
])  # fmt: skip
def test_labels_of_style_gans_tools(labels, classes, expected, tmp_path):
    for name in ("00000/0", "00000/1", "00001/2"):
        write(tmp_path / f"{name}.png")
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    images, _, found = open_all(tmp_path)
    assert (images.classes, found.tolist()) == (classes, expected)


def test_images_without_a_label_are_said(tmp_path):
    write(tmp_path / "0.png")
    write(tmp_path / "1.png")
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": [["1.png", 0]]}))
    assert open_all(tmp_path)[0].left_out == ("1 image that dataset.json does not label (0.png)",)
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": [["elsewhere.png", 0]]}))
    with pytest.raises(UserError, match=r"dataset\.json has labels of other files"):
        open_all(tmp_path)


# ------------------------------------------------------------------------------------------------ what it says it is


def test_a_set_says_what_it_is_in_one_line(tmp_path):
    for name in ("10/1", "10/2", "9/1"):
        write(tmp_path / f"{name}.png")
    (tmp_path / "notes.txt").write_text("text")
    images, _, labels = open_all(tmp_path)
    assert line(about(images, "train", labels)) == (
        f"folder {tmp_path}, train: 3 images of 4 x 6 x 3; 2 classes: 9 (1), 10 (2); left out: "
        "1 file that is no image (notes.txt)"
    )


def copied(folder, target):
    for path in sorted(folder.rglob("*.png")):
        (target / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
        (target / path.relative_to(folder)).write_bytes(path.read_bytes())


CHANGES = {
    "more": (lambda folder: write(folder / "b/2.png"), "3 images instead of 2; 2 of b instead of 1"),
    "other": (lambda folder: write(folder / "b/1.png", (9, 9, 9)), "as many images, but others"),
    "renamed": (lambda folder: (folder / "b").rename(folder / "c"), "classes a, c instead of a, b"),
    "moved": (lambda folder: (folder / "b/1.png").rename(folder / "b/2.png"), "as many images, but others"),
    "beside": (lambda folder: (folder / "notes.txt").write_text("text"), ""),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_set_is_the_same_wherever_it_lies_and_no_other(change, tmp_path):
    write(tmp_path / "one/a/1.png", (1, 2, 3))
    write(tmp_path / "one/b/1.png", (4, 5, 6))
    copied(tmp_path / "one", tmp_path / "two")
    CHANGES[change][0](tmp_path / "two")
    known, found = (about(images, "train", labels) for images, _, labels in map(open_all, sorted(tmp_path.iterdir())))
    assert differences(known, known) == ""
    assert differences(known, found) == CHANGES[change][1]
    assert (known.digest == found.digest) == (change == "beside")


@pytest.mark.parametrize("place", [0, 70_000, 140_000])
def test_any_byte_of_a_large_file_is_seen(place, tmp_path):
    pixels = np.zeros((200, 250, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.bmp")  # 150,054 bytes, uncompressed
    before = open_all(tmp_path)[0].digest
    content = bytearray((tmp_path / "a.bmp").read_bytes())
    content[100 + place] = 200
    (tmp_path / "a.bmp").write_bytes(content)
    assert open_all(tmp_path)[0].digest != before
