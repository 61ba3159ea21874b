"""The state, the pure train step, and how one or many of them are computed."""
