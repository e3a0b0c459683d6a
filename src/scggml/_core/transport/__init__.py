"""Optimal transport: what is asked, how it is solved, and what stands for a sample."""
