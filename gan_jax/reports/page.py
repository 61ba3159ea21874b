"""A comparison of runs as one HTML page: it holds all it shows, and opens from disk, without a network.

The page itself is page.html beside this file; its script draws whatever comparison is put into it.
"""

import base64
import io
import json
import os
from importlib import resources
from typing import Any

from PIL import Image

from gan_jax.files import atomic
from gan_jax.reports import scalars

WIDTH, HEIGHT = 256, 1024  # pixels, at most; a grid of 8 x 8 images of 28 or 32 pixels keeps about one for one
QUALITY = 40  # of 100; a grid of digits then takes 10 kB as a data: URL, and one of pure noise, the dearest, 35 kB
FEW_COLOURS, MAX_BYTES = 32, 16_000  # of a palette, where that is taken

_PLACE, _TITLE = "{{comparison}}", b"<title>Comparison of runs</title>"  # in the template


def write(path: str | os.PathLike[str], comparison: dict[str, Any]) -> None:
    """Write the page that shows a comparison, in one step: see `atomic.write`.

    Args:
      path: an .html file.
      comparison: title, measure, runs, settings, systems, comparisons ...: dicts, lists, text, numbers, booleans, None.
        NumPy's are taken too, and what is not finite is shown as missing. Any text is safe: it is shown as it is.

    """
    template = (resources.files("gan_jax.reports") / "page.html").read_text(encoding="utf-8")
    atomic.write(path, template.replace(_PLACE, _embedded(comparison)).encode())


def is_one(path: str | os.PathLike[str]) -> bool:
    """Whether the file is such a page."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return _TITLE in file.read(1000)


def thumbnail(path: str | os.PathLike[str]) -> str:
    """A picture as a data: URL of a WebP image, at most 256 pixels wide and 1,024 high, with white where it is clear.

    Returns "" where the file is no PNG, damaged or absent.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            coloured = image.convert("RGBA")
        picture = Image.new("RGB", coloured.size, "white")
        picture.paste(coloured, mask=coloured)
        picture.thumbnail((WIDTH, HEIGHT), Image.Resampling.BOX)
    except Exception:  # Pillow raises many kinds, one for each way to be damaged
        return ""
    content = _webp(picture, quality=QUALITY)
    # That halves the resolution of colour, and red points turn grey: a scatter, of few colours, keeps its in a palette.
    few = _webp(picture.quantize(FEW_COLOURS, dither=Image.Dither.NONE).convert("RGB"), lossless=True)
    if len(few) < min(2 * len(content), MAX_BYTES):
        content = few
    return "data:image/webp;base64," + base64.b64encode(content).decode()


def _webp(picture: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format="webp", **options)
    return file.getvalue()


def _embedded(comparison: dict[str, Any]) -> str:
    r"""JSON that an HTML parser can't mistake for markup.

    In JSON, <, > and & occur within strings only, where \uXXXX means the same; text beyond ASCII is escaped as well.
    """
    text = json.dumps(scalars.plain(comparison), allow_nan=False, separators=(",", ":"))
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")
