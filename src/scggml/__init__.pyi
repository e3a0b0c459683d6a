from . import datasets as datasets
from . import ext as ext
from . import get as get
from . import pl as pl
from . import tl as tl
from ._version import __version__ as __version__
