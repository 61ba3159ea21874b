"""What a person looks at: scalars, progress, sample grids and curves. Told numbers and arrays, it knows nothing else."""
