"""Finished runs, compared: `comparison` puts together what the other modules find, in plain dicts and lists."""
