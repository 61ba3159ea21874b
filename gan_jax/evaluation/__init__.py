"""Numbers for samples, of a generator or of anything else: what is measured, of what, and by which protocol."""
