"""Numbers for images, wherever they are from: python -m gan_jax.metrics A B [--metrics=fid,kid,prdc]."""

import argparse
import json
import os
import pathlib
import sys

import jax
import numpy as np

from gan_jax.data import about, images, sources
from gan_jax.errors import DivergedError, UserError, is_out_of_memory, one_line, shown
from gan_jax.evaluation import generators, measures, measuring
from gan_jax.evaluation.measuring import How, Samples
from gan_jax.features import resize
from gan_jax.files import atomic, names
from gan_jax.reports import scalars
from gan_jax.runs import trained

_DESCRIPTION = """\
Measures samples A against reals B, and prints the numbers with all that they depend on, then the same as one line of
JSON. A and B each are

  FOLDER           of images, at any depth; of train/, val/ and test/ in it the first, unless one of them is named
  FILE.npz         `images` uint8 [n, h, w, 1 or 3], `points` or `features` float [n, d], or one such array alone
  NAME[:SPLIT]     a data set: digits, mnist, fashion_mnist, cifar10, another of tensorflow-datasets, ring, grid, ...
  WORKDIR          of a run: samples of the averaged generator at its last checkpoint

Features of the Inception network are kept as they are computed: a run that is stopped goes on where it was.
"""


@jax.enable_x64(False)
def main(argv: list[str] | None = None) -> int:
    """The command; 0: done, 2: something given is wrong, and one line on stderr says what, 130: stopped by Ctrl-C."""
    try:
        args = _parser().parse_args(argv)
        reals = _samples(args.b, args, args.seed)
        fakes = _samples(args.a, args, args.seed + 1, reals)
        how = How(_metrics(args, fakes), args.features, args.resizer, args.weights)
        numbers, protocol, _ = measuring.measure(how, _named(fakes, "a"), _named(reals, "b"))
        record = numbers | {"protocol": protocol}
        sets = [about.line(samples.about) for samples in (fakes, reals) if samples.about]
        names.say(*sets, *measuring.table(record).splitlines())
        print(json.dumps(scalars.plain(record), allow_nan=False), flush=True)
    except (UserError, DivergedError) as error:
        # What data sets say of a configuration's fields is here said of flags.
        words = shown(error).replace("data.image_size", "--image-size").replace("data.dir=", "")
        print(f"gan_jax: {words.replace('data.name=', '')}", file=sys.stderr)
        return 2
    except (jax.errors.JaxRuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        print("gan_jax: out of memory: lower --num or --image-size", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read the output has left, and flushing the rest would fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except KeyboardInterrupt:
        print("gan_jax: stopped", file=sys.stderr)
        return 130
    return 0


def _named(samples, side):
    """What the samples are, under the name of their side."""
    words = ", ".join(f"{name} {value}" if name != "of" else value for name, value in samples.protocol.items())
    return samples._replace(protocol={side: words})


def _metrics(args, fakes):
    if args.metrics:
        return args.metrics
    return "fid,kid,prdc" if len(fakes.shape) == 3 else "auto"


def _samples(given, args, seed, reals=None) -> Samples:
    """What is given; of a run, classes as often as among the reals, where they are those that it was told."""
    path = pathlib.Path(os.path.expanduser(given))
    if path.suffix == ".npz":
        return _of_file(path, args, seed)
    if os.path.isfile(path / "config.json"):
        return _of_run(path, args, reals)
    if os.path.isdir(path):
        samples = generators.real_samples("folder", given, args.image_size, "train", args.num, seed, any_size=True)
        return _said(samples, _drawn(f"folder {given}", args.num, seed))
    if os.path.exists(path) or "/" in given:
        raise UserError(f"{given} is no folder: give a folder of images, an .npz file, a data set or a workdir")
    name, _, split = given.partition(":")
    return _of_set(name, split or "train", args, seed)


def _of_set(name, split, args, seed):
    num = args.num or (2500 if sources.is_points(name) else 0)
    samples = generators.real_samples(name, args.dir, args.image_size, split, num, seed)
    is_drawn = args.num or sources.is_points(name)
    return _said(samples, _drawn(f"{name}:{split}", is_drawn, seed))


def _said(samples, protocol):
    """What a set holds, on which background, and what is done to its images belongs to its protocol."""
    kept = {name: samples.protocol[name] for name in ("digest", "background", "images") if name in samples.protocol}
    return samples._replace(protocol=protocol | kept)


def _drawn(words, is_drawn, seed):
    return {"of": words} | ({"drawn with seed": seed} if is_drawn else {})


def _of_run(folder, args, reals):
    model = trained.load(folder, args.checkpoint)
    num = args.num or model.config.eval_samples
    config, wanted = model.config, generators.EVEN
    if reals is not None:
        wanted = generators.proportions(config, config.eval_conditions, reals, model.counts, model.classes)
    samples = generators.generated_samples(
        config, model.generator, model.state, num, counts=model.counts, wanted=wanted
    )._replace(classes=model.classes)
    return samples._replace(protocol={"of": str(folder), "step": int(model.state.step)} | samples.protocol)


def _of_file(path, args, seed):
    try:
        arrays = atomic.read_arrays(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read ({one_line(error)}): write it with numpy.savez") from None
    names = [name for name in arrays if name in ("images", "points", "features")] or list(arrays)
    if len(names) != 1:
        raise UserError(f"{path} holds {', '.join(names) or 'nothing'}: give one of images, points, features")
    array = arrays[names[0]]
    _check(path, array)
    said = {"digest": about.digest_of(f"{array.dtype} {array.shape}", array)[:12]}
    if 0 < args.num < len(array):
        array = array[np.sort(np.random.default_rng(seed).choice(len(array), args.num, replace=False))]
    if array.ndim == 4 and args.image_size:
        array, said["images"] = images.resized(array, args.image_size)
    return measuring.of_array(array, _drawn(str(path), args.num, seed) | said)._replace(is_resizable=array.ndim == 4)


def _check(path, array):
    is_images = array.dtype == np.uint8 and array.ndim == 4 and array.shape[3] in (1, 3)
    if not is_images and not (np.issubdtype(array.dtype, np.floating) and array.ndim == 2):
        raise UserError(
            f"{path} holds {array.dtype} {list(array.shape)}: give uint8 images [n, h, w, 1 or 3], or floats [n, d]"
        )
    if not len(array):
        raise UserError(f"{path} holds no samples")


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UserError(f"{message}; see python -m gan_jax.metrics --help")


def _parser():
    lines = [f"  {name:16} {measures.function(name).__doc__}" for name in measures.names()]
    parser = _Parser(
        prog="python -m gan_jax.metrics",
        description=_DESCRIPTION,
        epilog="\n".join(["metrics:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("a", metavar="A", help="the samples")
    parser.add_argument("b", metavar="B", help="the reals")
    parser.add_argument("--metrics", default="", help="by commas; default: fid,kid,prdc for images")
    parser.add_argument(
        "--features",
        default="suitable",
        choices=measures.FEATURES,
        help="what images are compared by; suitable: inception for fid, kid and is, and where it is at hand",
    )
    parser.add_argument("--resizer", default="tf1", choices=resize.NAMES, help="to 299 x 299; clean: antialiased")
    parser.add_argument("--weights", default="", metavar="FILE", help="of inception; default: those used before")
    parser.add_argument("--num", type=_count, default=0, metavar="N", help="at most N of either, at random")
    parser.add_argument(
        "--seed", type=_count, default=0, metavar="N", help="of what is drawn of B, and N + 1 of A; default: 0"
    )
    parser.add_argument(
        "--image-size",
        type=_count,
        default=0,
        metavar="N",
        help="crop and resize to N x N first; inception takes any size",
    )
    parser.add_argument("--checkpoint", default="last", help="of a run: last, best or a step")
    parser.add_argument("--dir", default="", metavar="FOLDER", help="of tensorflow-datasets")
    return parser


def _count(text):
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
