"""Claims of the literature, to run, see and vary: `python -m gan_jax.studies.NAME [--out=FOLDER] [--seed=N]`.

`python -m gan_jax.studies` lists them.

Each study says in its docstring what claim of which paper it checks. Its `measure(seed)` returns numbers,
`table(numbers)` puts them into words, and `draw(path, numbers)` makes a picture of them. What studies share is in
`command`, which runs them, and in `fitting`.
"""
