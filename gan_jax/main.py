"""The command: flags -> train | evaluate | sample | export | compare.

    python -m gan_jax.main --config=experiments/NAME.py[:DATA] [--workdir=DIR] [--mode=MODE] [--config.FIELD=VALUE ...]
    python -m gan_jax.main --config=experiments/NAME.py[:DATA] --workdir=DIR --init_from=RUN[:best|STEP] [...]
    python -m gan_jax.main --config=experiments/NAME.py[:DATA] --sweep=experiments/sweeps/NAME.py[:ARGUMENT] [...]
    python -m gan_jax.main --workdir=RUN --mode=sample|evaluate|export [--out=FOLDER] [...]
    python -m gan_jax.main --mode=compare DIR [DIR ...] [--measure=NAME] [--out=PAGE.html]

The same command again resumes, or says that the run is finished. It goes on with other fields, where these are free or
changeable: see below; so --config.steps may be raised. A sweep trains many runs, each in a folder of its own; compare
shows runs and sweeps beside one another. The modes that read a run take the configuration that its folder holds, with
the free fields that are given; others that are given, and a --config, must be the run's. Exit codes: 0 done; 2
something given is wrong; 130 or 143 stopped by SIGINT or SIGTERM, and saved; 3 the run diverged (of a sweep: every
one), its last good checkpoint is kept; 1 the machine failed, as with a full disk or too little memory: once that is
mended, the same command goes on.
"""

import errno
import itertools
import os
import pathlib
import re
import sys
import traceback
from collections.abc import Sequence

import jax
import ml_collections
from absl import flags
from ml_collections import config_flags

from gan_jax.comparing import comparison, tables
from gan_jax.config import CONDITIONS, FIELDS, KINDS, default_config, flat, no_such_field, validate
from gan_jax.data import about, sources
from gan_jax.errors import DivergedError, MachineError, UserError, is_out_of_memory, one_line, shown
from gan_jax.evaluation import measures
from gan_jax.features import resize
from gan_jax.files import atomic, names
from gan_jax.reports import page
from gan_jax.runs import beginning, changes, init_from, loop, reading, trained
from gan_jax.sweeps import search, sweep
from gan_jax.training import parallel, population
from gan_jax.training.hyperparameters import HPARAMS

# How ml_collections says that a field is unknown: the representation of its name, and perhaps of a second line.
_UNKNOWN_FIELD = re.compile(r"""['"\\]+(\w+)['"\\]+(?:n?(Did you mean .*\?))?['"]?""")
_CHOICES = re.compile(r"^<[^>]*>: ")  # that absl puts before the help of a flag that has them
_FULL = (errno.ENOSPC, errno.EDQUOT)
_IN_THE_WAY = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.EISDIR, errno.ENOTDIR)
MOST_FIELDS = 10  # of a group, in a message
MODES = ("train", "evaluate", "sample", "export", "compare")


@jax.enable_x64(False)  # whatever JAX_ENABLE_X64 says: all that is kept, and compared, is of float32
def main(argv: Sequence[str]) -> int:
    """Runs one command line, `argv[0]` being the program, and returns its exit code."""
    try:
        if {"--help", "-h", "-help"} & set(argv[1:]):
            print(usage())
            return 0
        given, folders = parse(argv)
        _join(given)
        return compare(given, folders) if given.mode == "compare" else run(given)
    except BrokenPipeError:  # whoever read the output has left, and flushing the rest would fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except KeyboardInterrupt:  # before or after the steps themselves, which save first
        print("gan_jax: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        ended = _ended(error)
        if parallel.is_alone_in(error):
            parallel.leave(*(ended or (1, traceback.format_exc())))
        if not ended:
            raise
        code, words = ended
        if parallel.is_lead():
            print(f"gan_jax: {words}", file=sys.stderr)
        return code


def _ended(error):
    """(exit code, what is said) of an error that needs no traceback; None of any other."""
    match error:
        case UserError():
            return 2, shown(error)
        case DivergedError():
            return 3, f"diverged: {shown(error)}"
        case MachineError():
            return 1, shown(error)
        case jax.errors.JaxRuntimeError() | MemoryError() if is_out_of_memory(error):
            return 1, (
                "out of memory: lower config.batch_size, n_critic or n_critic_burst.updates, which a run that has "
                "begun takes, too; config.network.width in another --workdir; or --num"
            )
        case jax.errors.JaxRuntimeError() if parallel.is_one_of_several():
            return 1, f"another process has ended ({one_line(error)[:100]}): give the same command, to all of them"
        case OSError() if error.errno in _FULL:
            return 1, f"{error.filename}: {error.strerror}: make room, and give the same command"
        case OSError() if error.errno in _IN_THE_WAY and error.filename:
            names = " -> ".join(str(name) for name in (error.filename, error.filename2) if name)
            return 2, shown(f"{names}: {error.strerror}: give another --workdir or --out, or mend what is wrong there")
    return None


def run(given: flags.FlagValues) -> int:
    """Does what the parsed flags say."""
    folder = pathlib.Path(os.path.expanduser(given.workdir or f"runs/{_name(given)}"))
    names.check_workdir(folder)
    if given.sweep and given.mode != "train":
        raise UserError(f"--sweep with --mode={given.mode}: give --workdir={folder}/000 alone")
    if given["way"].present and not given.sweep:
        raise UserError(f"--way={given.way} without --sweep: a run by itself has no members; leave it out")
    _check_mode(given)
    asked = init_from.asked(given.init_from, given.init_layers)
    if given.sweep:
        function, members = sweep.read(given.sweep)
        train_all = search.train if function == "get_study" else sweep.train
        return train_all(given.config, members, folder, shown(_name(given)), given.way, asked)
    if sweep.stored(folder).members:
        raise UserError(
            f"{folder} holds a sweep: give --workdir={folder}/000 or another member, or --sweep to train it"
        )
    if given.mode != "train":
        return reading.run(given, folder)
    explicit = config_flags.get_override_values(given["config"])
    return train(changes.as_begun(folder, given.config, explicit), shown(_name(given)), folder, asked)


def _check_mode(given):
    """A UserError where a flag would do nothing: its help begins with the modes that it is of."""
    for name in given:
        modes = _CHOICES.sub("", given[name].help).partition(":")[0].split(", ")
        if given[name].present and {*modes} <= {*MODES} and given.mode not in modes:
            raise UserError(f"--{name} with --mode={given.mode}: it is for {' and '.join(modes)}; leave it out")
    if given.traverse and (given.interpolate or given.label is not None):
        other = "--interpolate" if given.interpolate else "--label"
        raise UserError(f"--traverse with {other}: rows go through all classes of one latent; leave one of them out")
    rows = [f"--{name}" for name in ("interpolate", "traverse", "mix") if given[name].value]
    if given.mix and len(rows) > 1:
        raise UserError(f"{' with '.join(rows)}: each is a picture of its own; leave one of them out")
    if given["num"].present and rows:
        raise UserError(f"--num with {rows[0]}, which has its own number of rows; leave it out")
    if given.images and rows:
        raise UserError(f"--images with {rows[0]}: rows are one picture; leave one of them out")
    if given.space == "w" and not given.interpolate:
        raise UserError("--space=w without --interpolate: give that too, or leave it out")
    if given.cutoff and given.psi == 1 and not given.mix:
        what = "--psi or --mix: give one of them" if given.mode == "sample" else "--psi: give that"
        raise UserError(f"--cutoff={given.cutoff} without {what} too, or leave it out")
    if given.mode == "evaluate" and given.num == 1:
        raise UserError("--num=1 with --mode=evaluate: give at least 2, or --mode=sample, which takes one")
    if given["init_layers"].present and not given.init_from:
        raise UserError(f"--init_layers={given.init_layers} without --init_from: give that too, or leave it out")


def train(config: ml_collections.ConfigDict, name: str, folder: pathlib.Path, asked: init_from.Asked | None) -> int:
    """Checks all that was given, and only then makes the folder and trains. asked: what a new run begins from."""
    source, start = parallel.together(lambda: _checked(config, folder, asked))
    digest = source.about.digest if source.about else ""
    parallel.check_alike(f"{folder.absolute()} {flat(config)} {start and start.record} {digest}")
    if source.about:
        parallel.lead_only(names.say)(about.line(source.about))
    return loop.train(config, source, folder, name, start)


def _checked(config, folder, asked):
    """(its source, what it begins from, if not by itself) of a run, where nothing is wrong with either."""
    validate(config)
    changes.check(folder, flat(config))
    start = init_from.beginning(asked, [folder])
    source = sources.of_config(config.data)
    loop.check_group(config, source, [folder], start)
    return source, start


def compare(given: flags.FlagValues, folders: Sequence[str]) -> int:
    """Prints tables of the runs in the folders, and writes them as a page and as a .csv file."""
    _check_mode(given)
    page_path = pathlib.Path(os.path.expanduser(given.out or f"{folders[0]}/comparison.html"))
    if page_path.suffix != ".html" or os.path.isdir(page_path):
        raise UserError(f"--out={given.out}: give a file that ends in .html; a .csv file is written beside it")
    csv_path = page_path.with_suffix(".csv")
    _check_page(given, page_path, csv_path)
    found = comparison.compare([pathlib.Path(os.path.expanduser(folder)) for folder in folders], given.measure, True)
    names.say(*tables.table(found).splitlines())
    try:
        atomic.write(csv_path, tables.csv(found).encode(errors="backslashreplace"))
        page.write(page_path, found)
    except OSError as error:
        raise UserError(f"{page_path} can't be written: {error.strerror}; give another --out") from None
    names.say("", f"wrote {page_path} and {csv_path}")
    return 0


def _check_page(given, *paths):
    """A UserError where a file would be lost, other than the page and the table that this command has in the folder."""
    there = [path for path in paths if os.path.lexists(path)]
    if there and not given.overwrite and (given.out or not page.is_one(paths[0])):
        raise UserError(f"{there[0]} is there already: give another --out=PAGE.html, or --overwrite to replace it")


def _join(given):
    """Makes this process one of several, where the flags say so."""
    if not given.coordinator:
        for name in ("num_processes", "process_id"):
            if given[name].present:
                raise UserError(f"--{name}={given[name].value} without --coordinator: give HOST:PORT of process 0")
        return
    if given.mode != "train" or given.sweep:
        what = "--sweep" if given.sweep else f"--mode={given.mode}"
        raise UserError(f"--coordinator with {what}: several processes only train one run; leave it out")
    parallel.join(given.coordinator, given.num_processes, given.process_id)


def parse(argv: Sequence[str]) -> tuple[flags.FlagValues, list[str]]:
    """(flags, folders to compare) of a command line; a UserError in one line where they make no sense."""
    given = flags.FlagValues()
    try:
        define_flags(given, argv)
        stray = given(argv)[1:]
    except UserError:
        raise
    except Exception as error:  # whatever may go wrong in an experiment's file
        for file in (arg.partition("=")[2] for arg in argv if arg.startswith("--config=")):
            _check_file(file)
        for field in (arg.partition("=")[0].lstrip("-") for arg in argv if arg.startswith(("-config.", "--config."))):
            _check_group(field.removeprefix("config."))
        raise UserError(_in_one_line(error)) from None
    if given.mode == "compare":
        if not stray:
            raise UserError("--mode=compare needs folders: give those of runs or sweeps, or one with runs in it")
        return given, stray
    if stray:
        raise UserError(f"{stray[0]!r} is not a flag: write --NAME=VALUE; --help lists them")
    _check_config(given)
    return given, []


def _check_config(given):
    if not given["config"].present:
        if given.mode == "train":
            raise UserError("--config is missing: give --config=experiments/wgan.py, or another file there")
        if not given.workdir:
            raise UserError(f"--mode={given.mode} without --workdir: give that of a run, such as --workdir=runs/wgan")
        return
    file = config_flags.get_config_filename(given["config"])
    _check_file(file)
    if not isinstance(given.config, ml_collections.ConfigDict):
        raise UserError(
            f"--config={file}: get_config() returns no ConfigDict; begin with gan_jax.config.default_config()"
        )


def _check_file(file):
    if os.path.isfile(file.partition(":")[0]):
        return
    if os.path.isfile(names.parted(file)[0]):
        raise UserError(
            f"--config={file}: a path ends at its first ':', and an argument follows: rename what has the ':'"
        )
    raise UserError(f"--config={file}: there is no such file")


def define_flags(values: flags.FlagValues, argv: Sequence[str]) -> None:
    """The flags, on values of their own: `main` can be called any number of times in one process."""
    if _is_config_given(values, argv):
        what = "experiments/NAME.py, or experiments/NAME.py:DATA"
        config_flags.DEFINE_config_file("config", None, what, flag_values=values, sys_argv=list(argv))
    else:  # for the fields that are given, and their types: a run that is read has its own configuration
        config_flags.DEFINE_config_dict("config", default_config(), flag_values=values, sys_argv=list(argv))
    what = "folder of the run; by default runs/NAME, or runs/NAME_DATA, of --config"
    flags.DEFINE_string("workdir", None, what, values)
    flags.DEFINE_enum("mode", "train", MODES, "what to do", values)
    flags.DEFINE_string("sweep", None, "train: experiments/sweeps/NAME.py, or NAME.py:ARGUMENT; many runs", values)
    flags.DEFINE_enum(
        "way", "auto", ("auto", *population.WAYS), "train --sweep: how members train together; auto: measured", values
    )
    flags.DEFINE_string(
        "init_from", "", "train: RUN[:last|best|STEP], whose parameters and averages a new run begins from", values
    )
    flags.DEFINE_enum(
        "init_layers",
        "all",
        beginning.LAYERS,
        "train --init_from: fitting: arrays of other shapes begin afresh",
        values,
    )
    flags.DEFINE_string("measure", None, "compare: a number of evaluation.jsonl; else the one checkpoints have", values)
    what = "evaluate, sample, export, compare: folder for the results, else the run's; of compare, the page to write"
    flags.DEFINE_string("out", None, f"{what}, else comparison.html in the first folder", values)
    flags.DEFINE_boolean("overwrite", False, "evaluate, sample, export, compare: replace what is there", values)
    flags.DEFINE_boolean("images", False, "sample: write each as a picture of its own, 000000.png and so on", values)
    flags.DEFINE_integer("num", None, "evaluate, sample: how many samples", 1, trained.MOST, flag_values=values)
    flags.DEFINE_integer("reals", 0, "evaluate: at most so many reals; 0: as many as samples", 0, flag_values=values)
    flags.DEFINE_string("split", "train", "evaluate: which split of the data the reals are from", values)
    flags.DEFINE_string(
        "metrics", "auto", f"evaluate: by commas, some of {', '.join(measures.names())}; auto: what suits", values
    )
    flags.DEFINE_enum(
        "conditions", "as_reals", CONDITIONS, "evaluate: how often each class is asked for: as among reals", values
    )
    flags.DEFINE_enum("features", "suitable", measures.FEATURES, "evaluate: what images are compared by", values)
    flags.DEFINE_enum("resizer", "tf1", resize.NAMES, "evaluate: for inception", values)
    flags.DEFINE_string("weights", "", "evaluate: file of inception's weights; empty: the one used before", values)
    flags.DEFINE_string("checkpoint", "last", "evaluate, sample, export: last, best or a step", values)
    flags.DEFINE_string(
        "coordinator", "", "train: HOST:PORT of process 0 of several; auto: on SLURM, a TPU pod", values
    )
    flags.DEFINE_integer("num_processes", None, "train: how many processes there are", 1, flag_values=values)
    flags.DEFINE_integer("process_id", None, "train: which of them this is, from 0", 0, flag_values=values)
    flags.DEFINE_boolean("interpolate", False, "sample: draw rows that lead from latent to latent", values)
    flags.DEFINE_boolean(
        "traverse", False, "sample: draw rows that lead through all classes, or through a code", values
    )
    flags.DEFINE_string("label", None, "sample: the class to be generated, by name or number; else all", values)
    flags.DEFINE_float(
        "truncation", 0.0, "sample, evaluate: latents beyond it are drawn again; 0: none", 0, flag_values=values
    )
    flags.DEFINE_float(
        "psi",
        1.0,
        "evaluate, sample, export: below 1, draws w nearer to its mean: likelier, more alike",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "cutoff",
        0,
        "evaluate, sample, export: of how many layers --psi is, 0 for all; of --mix, how many are of rows, 0: half",
        0,
        flag_values=values,
    )
    flags.DEFINE_boolean(
        "mix", False, "sample: coarse layers of samples in rows, fine ones of those in columns", values
    )
    flags.DEFINE_enum(
        "space", "z", ("z", "w"), "sample: of --interpolate: on the sphere in z, or straight in w", values
    )
    flags.DEFINE_integer("seed", 0, "sample: of the latents", 0, trained.LAST_SEED, flag_values=values)


def _is_config_given(values, argv):
    given = values.read_flags_from_files(list(argv), force_gnu=True)
    return any(argument.partition("=")[0] in ("-config", "--config") for argument in given)


def usage() -> str:
    """The text of --help: every flag and every field."""
    values = flags.FlagValues()
    define_flags(values, ["--config"])
    lines = [str(__doc__), "Flags:"]
    lines += [f"  --{name}={values[name].default}\n      {values[name].help}" for name in values]
    lines += ["", "Fields, with the defaults that experiments and data sets may change. One that is"]
    lines += [f"  {kind} {meaning}" for kind, meaning in KINDS.items()]
    # Every number that may follow a schedule has the same fields for it: those of the first tell what they are.
    first = f"schedule.{next(iter(HPARAMS.values()))}."
    shown = {name: field for name, field in FIELDS.items() if name.count(".") < 2 or not name.startswith("schedule.")}
    shown |= {name: field for name, field in FIELDS.items() if name.startswith(first)}
    lines += [
        f"  --config.{name}={field.default}\n      {field.meaning} ({field.allowed[1]}; {field.kind})"
        for name, field in shown.items()
    ]
    lines += ["  and likewise schedule.FIELD for FIELD any of", f"      {', '.join(HPARAMS.values())}"]
    return "\n".join(lines)


def _name(given):
    """experiments/wgan_gp.py:ring -> wgan_gp_ring; with experiments/sweeps/lr_seed.py, wgan_gp_ring_lr_seed."""
    files = [config_flags.get_config_filename(given["config"]), *([given.sweep] if given.sweep else [])]
    parts = [(pathlib.Path(path).stem, argument) for path, argument in map(names.parted, files)]
    return "_".join(part.replace("/", "_") for pair in parts for part in pair if part)


def _check_group(name):
    """config.loss.name, where `loss` is no group of fields, or config.penalty, which is one."""
    above = ["", *itertools.accumulate(name.split("."), "{}.{}".format)][1:-1]
    if fields := [field for field in above if field in FIELDS]:
        raise UserError(f"config.{name}: {fields[0]} is a field, no group of them; give --config.{fields[0]}=VALUE")
    if within := [field for field in FIELDS if field.startswith(f"{name}.")]:
        some = within if len(within) < MOST_FIELDS else [*within[:MOST_FIELDS], "..."]
        raise UserError(f"config.{name} is a group of fields; give one of --config.{', --config.'.join(some)}")
    if above and not any(field.startswith(f"{above[-1]}.") for field in FIELDS):
        raise UserError(no_such_field(name))


def _in_one_line(error):
    if isinstance(error, flags.Error):
        given, _, traced = str(error).partition("Error whilst parsing config file:")
        # The words of an experiment's error stand behind the frames that led to it, which are indented.
        return one_line(given + re.split(r"^  .*\n", traced, flags=re.MULTILINE)[-1])
    if isinstance(error, AttributeError) and (found := _UNKNOWN_FIELD.fullmatch(str(error))):
        return f"--config has no field {found[1]!r}. {found[2] or ''} --help lists them".replace("  ", " ")
    return f"--config can't be read: {type(error).__name__}: {one_line(error)}"


if __name__ == "__main__":
    sys.exit(main(sys.argv))
