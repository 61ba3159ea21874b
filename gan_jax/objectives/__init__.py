"""Losses and penalties: pure maths on what a critic puts out."""
