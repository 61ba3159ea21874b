"""python -m gan_jax.studies: which studies there are."""

import ast
import pathlib
import sys
from collections.abc import Sequence

from gan_jax import studies
from gan_jax.errors import shown

USAGE = "Run one by python -m gan_jax.studies.NAME [--out=FOLDER] [--seed=N]; with --help, what it measures:"


def main(argv: Sequence[str]) -> int:
    """Prints the name of each study and the first sentence of what it says of itself; 2 where a name is given.

    argv: as of a command, the program first.
    """
    found = sentences()
    others = [word for word in argv[1:] if word not in ("--help", "-h", "-help")]
    if others and others[0] in found:
        return _refused(f"{others[0]}: write python -m gan_jax.studies.{others[0]}, with a dot")
    if others:
        return _refused(f"{others[0]!r} is no study: they are {', '.join(found)}")
    print(f"{USAGE}\n")
    for name, sentence in found.items():
        print(f"  {name:20} {sentence}")
    return 0


def _refused(words):
    print(f"gan_jax.studies: {shown(words)}", file=sys.stderr)
    return 2


def sentences() -> dict[str, str]:
    """{name: first line of its docstring} of each study, which is a file that has a `measure`."""
    files = sorted(pathlib.Path(studies.__path__[0]).glob("*.py"))
    trees = {file.stem: ast.parse(file.read_text(encoding="utf-8")) for file in files}
    return {name: (ast.get_docstring(tree) or "").partition("\n")[0] for name, tree in trees.items() if _is_study(tree)}


def _is_study(tree):
    return any(isinstance(node, ast.FunctionDef) and node.name == "measure" for node in tree.body)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
