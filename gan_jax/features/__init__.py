"""Feature networks: images -> features. What is computed from features is in gan_jax.metrics."""
