"""Write types of parameters as users know them: public classes by their public names, arrays by their short ones."""

import importlib
import inspect
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sphinx.config import Config
from sphinx_autodoc_typehints import format_annotation

import scggml

ARRAY_LIKE = get_args(ArrayLike)
ELEMENTS = (np.bool_, np.float32, np.float64, np.int32, np.int64, np.str_)
NAMES = {getattr(np, name): name for name in ("bool_", "float32", "float64", "int32", "int64", "str_")}


def public_classes() -> dict[type, str]:
    """Return each public class with the name that users import."""
    found = {}
    for face in scggml.__all__:
        module = getattr(scggml, face)
        for name in getattr(module, "__all__", ()):
            thing = getattr(importlib.import_module(f"scggml.{face}"), name)
            if inspect.isclass(thing):
                found[thing] = f"scggml.{face}.{name}"
    return found


PUBLIC = public_classes()


def written(annotation: Any, config: Config) -> str | None:
    """Return the markup of a type, or None where that of Sphinx will do."""
    if inspect.isclass(annotation) and annotation in PUBLIC:
        return f":py:class:`~{PUBLIC[annotation]}`"
    if annotation == NDArray[np.floating[Any]]:
        return r":py:data:`~numpy.typing.NDArray`\ [``floating``]"
    for element in ELEMENTS:
        if annotation == NDArray[element]:
            return rf":py:data:`~numpy.typing.NDArray`\ [``{NAMES[element]}``]"
    members = get_args(annotation)
    if all(member in members for member in ARRAY_LIKE):  # a union with it has its members
        others = [format_annotation(other, config) for other in members if other not in ARRAY_LIKE]
        return " | ".join([":py:data:`~numpy.typing.ArrayLike`", *others])
    return None
