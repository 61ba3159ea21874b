"""Runs in their folders: the loop around the pure step, what it leaves there, and what reads that again."""
