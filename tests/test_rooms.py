"""The house: what may import what. pyproject.toml has the floors, and docs/architecture.md draws them."""

import ast
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def test_imports_run_downwards_alone():
    command = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "1 kept, 0 broken" in done.stdout


def test_nothing_is_imported_within_a_function_to_get_around_that():
    """But for what takes seconds, or is no dependency of all: packages of others."""
    for file in (ROOT / "gan_jax").rglob("*.py"):
        for function in ast.walk(ast.parse(file.read_text())):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    name = node.module or "" if isinstance(node, ast.ImportFrom) else ""
                    assert not name.startswith("gan_jax") or file.name in LATE, f"{file}: {name}"


# Comparing records needs no JAX, unless they were written by two versions of the program; nor does `import gan_jax`.
LATE = {"comparison.py", "__init__.py"}
