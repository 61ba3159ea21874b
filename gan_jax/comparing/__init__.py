"""What a comparison of finished runs is made of. `gan_jax.comparison` puts it together, in plain dicts and lists."""
