"""Statistics on arrays of samples or features. Every function is pure NumPy/SciPy in float64."""
