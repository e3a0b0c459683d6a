"""The report of a cohort: one HTML page that needs nothing else."""
