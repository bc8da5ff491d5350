"""A user's own data: files, folders and hub data sets as rows, with every fault named."""

from envs.data.columns import PRESETS, Columns, Preset
from envs.data.read import Reading, read_rows
from envs.data.rows import Detour, FaultKind, Row, RowFault, describe_faults

__all__ = [
    "PRESETS",
    "Columns",
    "Detour",
    "FaultKind",
    "Preset",
    "Reading",
    "Row",
    "RowFault",
    "describe_faults",
    "read_rows",
]
