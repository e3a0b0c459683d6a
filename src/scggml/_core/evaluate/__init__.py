"""Predict samples that were held out, and say how well."""
