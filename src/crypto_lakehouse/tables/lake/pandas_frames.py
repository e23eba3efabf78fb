"""Rows as a pandas frame, without a loss of type: the extra `pandas`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.types as kinds

from crypto_lakehouse.core.errors import ExtraMissing

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["import_pandas", "pandas_frame"]


def import_pandas() -> Any:
    """The module `pandas`, which is imported for the first frame.

    Raises:
        ExtraMissing: It is not installed.
    """
    try:
        return import_module("pandas")
    except ModuleNotFoundError as error:
        if error.name != "pandas":
            raise
        raise ExtraMissing("pandas", "frames of pandas need pandas") from None


def pandas_frame(rows: pa.Table, schema: pa.Schema) -> pd.DataFrame:
    """Rows of Arrow as a pandas frame, with a plain index.

    Args:
        rows: The rows.
        schema: The columns, which say what may be NULL: types do not depend on the rows at hand.
    """
    module = import_pandas()
    columns = {each.name: _series(module, rows.column(each.name), each) for each in schema}
    frame: pd.DataFrame = module.DataFrame(columns, copy=False)
    return frame


def _series(module: Any, values: pa.ChunkedArray[Any], column: pa.Field[Any]) -> Any:
    """One column: numpy's types where they lose nothing, else those that have a place for NULL.

    Numpy would make floats of whole numbers with a NULL, which changes ids above 2**53, and
    objects of flags with a NULL, of dates and of decimals.
    """
    kind = column.type
    if kinds.is_int64(kind) and column.nullable:
        found: Any = module.Int64Dtype()
    elif kinds.is_boolean(kind) and column.nullable:
        found = module.BooleanDtype()
    elif kinds.is_string(kind):
        found = module.StringDtype(na_value=float("nan"))  # `str`, also if there is no row
    elif kinds.is_decimal(kind) or kinds.is_date(kind):
        found = module.ArrowDtype(kind)
    else:
        found = None
    return values.cast(kind).to_pandas(types_mapper=lambda _: found)
