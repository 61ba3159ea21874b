"""Generators and critics in flax.linen: one file per architecture, each exporting `Generator` and `Critic`."""
