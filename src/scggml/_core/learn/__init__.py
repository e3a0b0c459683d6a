"""From labelled samples to a metric."""
