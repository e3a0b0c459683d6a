"""A backend of matplotlib that has where to show figures, as those of windows and notebooks have."""

from matplotlib.backends.backend_agg import FigureCanvasAgg as FigureCanvas

__all__ = ["FigureCanvas"]
