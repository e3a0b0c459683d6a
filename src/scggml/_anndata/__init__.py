"""The only door to AnnData."""
