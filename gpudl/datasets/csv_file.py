"""Reader of CSV files: a header, number columns, and one target column."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass

import numpy as np

from gpudl import random
from gpudl.datasets._files import read_file
from gpudl.datasets._split import check_fraction, split
from gpudl.datasets.base import Data, Dataset
from gpudl.errors import DataError, UsageError, did_you_mean

FLOAT32_MAX = float(np.finfo(np.float32).max)
INT64 = np.iinfo(np.int64)


class Csv(Dataset):
    """A CSV file in UTF-8 whose first row names the columns.

    Every column but the target holds numbers. The target decides by its values: all integers are labels; numbers of
    which some are not integral are values to predict; text is class names, numbered in sorted order. Spaces around a
    cell (but not after a closing quote) do not count, and blank lines are skipped.

    The test part is drawn by a shuffle keyed by `seed`, and the training rows keep the shuffled order, so that the
    last of them are fit for validation where the file is sorted; `test_fraction` 0 keeps every row in the file's order.
    """

    description = "a CSV file of yours: number columns and a target column"

    def __init__(self, path: str, target: str, test_fraction: float = 0.2, seed: int = 0, delimiter: str = ",") -> None:
        """Raises: UsageError for a fraction outside [0, 1), or a delimiter that is not one character."""
        check_fraction("Csv", test_fraction)
        if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
            raise UsageError(f'Csv: delimiter={delimiter!r} is not one character, as "," or ";" or "\\t" is')
        self.path = path
        self.target = target
        self.test_fraction = test_fraction
        self.seed = seed
        self.delimiter = delimiter

    def load(self) -> Data:
        """Read the file.

        Shapes: x (N, columns but the target) float32; y (N,) int64 labels or float32 values.
        Raises: DataError naming line and column of what is wrong; UsageError where the fraction leaves a part empty.
        """
        table = _read_table(self.path, self.delimiter)
        if self.target not in table.header:
            hint = did_you_mean(self.target, table.header)
            raise DataError(
                f'{self.path}: no column "{self.target}" for the target{hint}; columns: {", ".join(table.header)}'
            )
        features = [name for name in table.header if name != self.target]
        if not features:
            raise DataError(
                f'{self.path}: "{self.target}" is its only column, expected at least one more; '
                f"check that the delimiter {self.delimiter!r} is right"
            )
        x = np.stack([_to_float32(table.column(name)) for name in features], axis=1)
        y, class_names = _target(table.column(self.target))
        shuffle = random.stream(self.seed, "datasets/csv").permutation
        order = np.arange(len(y)) if self.test_fraction == 0 else shuffle(len(y))
        return split(f'Csv "{self.path}"', x, y, order, self.test_fraction, class_names)

    @classmethod
    def status(cls) -> str:
        """Say that the data is the user's."""
        return "reads your file"


@dataclass(frozen=True)
class _Column:
    """The cells under one name, and the line each begins on."""

    path: str
    name: str
    cells: list[str]
    lines: list[int]

    def error(self, row: int, trouble: str) -> DataError:
        return DataError(f'{self.path}, line {self.lines[row]}, column "{self.name}": {trouble}')


@dataclass(frozen=True)
class _Table:
    path: str
    header: list[str]
    rows: list[list[str]]
    lines: list[int]

    def column(self, name: str) -> _Column:
        index = self.header.index(name)
        return _Column(self.path, name, [row[index] for row in self.rows], self.lines)


def _read_table(path: str, delimiter: str) -> _Table:
    """Return header and rows, all as wide as the header and without empty cells."""
    records = _records(path, _decode(path, read_file(path)), delimiter)
    if not records:
        raise DataError(f"{path}: is empty, expected a header line and rows")
    (header_line, header), *body = records
    for index, name in enumerate(header):
        where = f"{path}, line {header_line}"
        if not name:
            raise DataError(f"{where}: column {index + 1} of the header has no name; name it or remove the column")
        if name in header[:index]:
            raise DataError(
                f'{where}: the name "{name}" stands over columns {header.index(name) + 1} and {index + 1}; rename one'
            )
    if not body:
        raise DataError(f"{path}: has a header but no rows; expected at least one row below it")
    for line, row in body:
        if len(row) != len(header):
            where = f'; the last one is under "{header[len(row) - 1]}"' if len(row) < len(header) else ""
            raise DataError(
                f"{path}, line {line}: {len(row)} cells{where}, expected {len(header)} as in the header "
                f"({', '.join(header)}); check quotes and the delimiter {delimiter!r}"
            )
        if "" in row:
            raise DataError(
                f'{path}, line {line}, column "{header[row.index("")]}": the cell is empty; '
                "fill it in or remove the row"
            )
    return _Table(path, header, [row for _, row in body], [line for line, _ in body])


def _decode(path: str, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + error.object.count(b"\n", 0, error.start)
        raise DataError(
            f"{path}, line {line}: byte {error.object[error.start]:#04x} is not UTF-8; save the file as UTF-8"
        ) from error


def _records(path: str, text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return each row that is not blank with the line it begins on; a quoted cell may go on over several lines."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=delimiter != " ", strict=True
    )
    records = []
    begin = 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if cells not in ([], [""]):
                records.append((begin, cells))
            begin = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}, line {begin}: not CSV ({error}); check the quotes of this row") from error
    return records


def _number(cell: str) -> float | None:
    """Return the number a cell spells, NaN and infinity among them, or None. `1_000` is Python's spelling only."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _to_float32(column: _Column) -> np.ndarray:
    numbers = [_number(cell) for cell in column.cells]
    for row, (cell, number) in enumerate(zip(column.cells, numbers, strict=True)):
        if number is None:
            raise column.error(row, f'"{cell}" is not a number; correct it, or remove the column')
        _check_finite_cell(column, row, number)
    return np.array(numbers, np.float32)


def _check_finite_cell(column: _Column, row: int, number: float) -> None:
    if not abs(number) <= FLOAT32_MAX:
        trouble = "beyond float32" if math.isfinite(number) else "not finite"
        raise column.error(row, f'"{column.cells[row]}" is {trouble}; correct it, or remove the row')


def _target(column: _Column) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Return labels or values, and the class names where the column holds text."""
    numbers = [_number(cell) for cell in column.cells]
    for row, number in enumerate(numbers):
        if number is not None:
            _check_finite_cell(column, row, number)
    integral = all(number is None or number.is_integer() for number in numbers)
    if None not in numbers:
        return (_to_int64(column) if integral else np.array(numbers, np.float32)), None
    if not integral:  # a column of measurements with a slip in it, not one of names
        row = numbers.index(None)
        raise column.error(row, f'"{column.cells[row]}" is not a number, as other cells of the target are; correct it')
    names = tuple(sorted(set(column.cells)))
    label = {name: index for index, name in enumerate(names)}
    return np.array([label[cell] for cell in column.cells], np.int64), names


def _to_int64(column: _Column) -> np.ndarray:
    labels = []
    for row, cell in enumerate(column.cells):
        try:
            label = int(cell)
        except ValueError:  # an integer spelled as 3.0 or 3e2
            label = int(float(cell))
        if not INT64.min <= label <= INT64.max:
            raise column.error(row, f'"{cell}" does not fit into a 64-bit integer; correct it')
        labels.append(label)
    return np.array(labels, np.int64)
