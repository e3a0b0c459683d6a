"""Ground metric learning with optimal transport for cohorts of single-cell samples."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
