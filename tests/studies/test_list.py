"""python -m gan_jax.studies, which lists them."""

import importlib
import pathlib
import re

import pytest

from gan_jax import studies
from gan_jax.studies import __main__ as listing
from tests import shipped

README = pathlib.Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize("flags", [[], ["--help"]])
def test_every_study_is_listed_with_its_first_sentence(flags, capsys):
    assert listing.main(["studies", *flags]) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    files = pathlib.Path(studies.__path__[0]).glob("[!_]*.py")
    assert {name for name, _ in lines} == {file.stem for file in files if "\ndef measure(" in file.read_text()}
    for name, sentence in lines:
        assert importlib.import_module(f"gan_jax.studies.{name}").__doc__.startswith(sentence)


@pytest.mark.parametrize("name", listing.sentences())
def test_a_study_has_its_row_in_the_readme(name):
    rows = re.findall(r"^\| `(\w+)` \|", README.read_text(), re.MULTILINE)
    shipped.needs_row(name, shipped.STUDIES, rows, "the table of studies in README.md", "what it shows")


@pytest.mark.parametrize(
    ("name", "words"),
    [("lipshitz", "'lipshitz' is no study: they are disjoint_supports, "), ("lipschitz", "gan_jax.studies.lipschitz,")],
)
def test_a_name_is_answered_in_a_line(name, words, capsys):
    assert listing.main(["studies", name]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
