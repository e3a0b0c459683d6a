"""Find the cells and genes that make classes differ."""
