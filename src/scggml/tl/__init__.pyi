from ._distances import distances as distances
from ._ggml import ggml as ggml
from ._mds import mds as mds
from ._neighbors import neighbors as neighbors
from ._project import project as project
from ._solvers import Canonical as Canonical
from ._solvers import Coreset as Coreset
from ._solvers import Exact as Exact
