"""Claims of the literature, to run, see and vary: `python -m gan_jax.studies.NAME [--out=FOLDER] [--seed=N]`.

Each module says in its docstring what claim of which paper it checks, and has three public functions: `measure(seed)`
returns numbers, `table(numbers)` puts them into words, and `draw(path, numbers)` makes a picture of them.
"""
