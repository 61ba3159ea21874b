"""What a person looks at: scalars, progress, sample grids, curves. Told numbers and arrays, it knows nothing else."""
