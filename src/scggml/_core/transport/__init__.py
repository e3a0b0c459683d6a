"""Optimal transport: problems, solvers, and summaries of samples."""
