"""The reader of CSV files: what it makes of columns, and what it says of bad ones."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gpudl.datasets import Csv
from gpudl.errors import DataError, UsageError

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8).map(str.strip)
CLASSES = WORDS.filter(lambda word: word != "" and not _is_number(word))


def _is_number(word):
    try:
        float(word)
    except ValueError:
        return False
    return True


@pytest.fixture
def load(tmp_path):
    """Write text to a file and load it whole, in its own order."""

    def load(text, target="y", test_fraction=0.0, seed=0, delimiter=","):
        path = tmp_path / "data.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return Csv(str(path), target, test_fraction, seed, delimiter).load()

    return load


@pytest.fixture
def fails(load):
    """Load text that is wrong and return the message."""

    def fails(text, target="y", **settings):
        with pytest.raises(DataError) as caught:
            load(text, target, **settings)
        assert "data.csv" in str(caught.value)
        return str(caught.value)

    return fails


@settings(derandomize=True, deadline=None)
@given(
    names=st.lists(WORDS.filter(bool), min_size=2, max_size=5, unique=True),
    rows=st.integers(1, 12),
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(["int", "float", "text"]),
    place=st.integers(0, 4),
    classes=st.lists(CLASSES, min_size=1, max_size=4, unique=True),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
    bom=st.booleans(),
    quote_all=st.booleans(),
)
def test_round_trip(scratch, names, rows, seed, kind, place, classes, delimiter, ending, bom, quote_all):
    assume(not any("\ufeff" in name for name in names))
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((rows, len(names) - 1)) * 10.0 ** rng.integers(-20, 20)).astype(np.float32)
    if kind == "int":
        y = rng.integers(-(2**62), 2**62, rows)
    elif kind == "float":
        y = (rng.standard_normal(rows) + 0.5).astype(np.float32)
    else:
        y = np.array(classes, object)[rng.integers(0, len(classes), rows)]
    place %= len(names)
    text = io.StringIO()
    quote_all |= bool({"\r", "\n"} & set("".join(names + classes)))  # csv.writer quotes only the one in `ending`
    quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    writer = csv.writer(text, delimiter=delimiter, lineterminator=ending, quoting=quoting)
    writer.writerow(names)
    for features, target in zip(x.tolist(), y.tolist(), strict=True):
        writer.writerow([*map(repr, features[:place]), target, *map(repr, features[place:])])
    path = scratch / "round.csv"
    path.write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.getvalue().encode())

    data = Csv(str(path), names[place], test_fraction=0, delimiter=delimiter).load()
    assert data.x_train.dtype == np.float32
    np.testing.assert_array_equal(data.x_train, x)
    assert data.x_test is None
    assert data.y_test is None
    if kind == "text":
        assert data.class_names is not None
        assert data.class_names == tuple(sorted(set(y)))
        assert data.y_train.dtype == np.int64
        assert [data.class_names[label] for label in data.y_train] == y.tolist()
    else:
        assert data.class_names is None
        assert data.y_train.dtype == (np.int64 if kind == "int" else np.float32)
        np.testing.assert_array_equal(data.y_train, y)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(raw=st.binary(max_size=60) | st.text('ab1.,"\n\r- ', max_size=60).map(str.encode), target=st.sampled_from("ab"))
def test_noise_is_refused_or_read_but_never_crashes(scratch, raw, target):
    path = scratch / "noise.csv"
    path.write_bytes(b"a,b\n" + raw)
    try:
        data = Csv(str(path), target, test_fraction=0).load()
    except DataError as error:
        assert "noise.csv" in str(error)
    else:
        assert len(data.x_train) == len(data.y_train) > 0
        assert np.isfinite(data.x_train).all()


@settings(derandomize=True, deadline=None, max_examples=40)
@given(rows=st.integers(5, 60), fraction=st.floats(0.2, 0.8), seed=st.integers(0, 2**63))
def test_the_split_is_keyed_by_the_seed_and_loses_no_row(scratch, rows, fraction, seed):
    path = scratch / "split.csv"
    path.write_text("a,y\n" + "".join(f"{i}.5,{i}\n" for i in range(rows)))
    first, again = (Csv(str(path), "y", fraction, seed).load() for _ in range(2))
    assert first.x_test is not None
    assert first.y_test is not None
    assert again.y_test is not None
    assert len(first.y_test) == round(rows * fraction)
    assert sorted([*first.y_train, *first.y_test]) == list(range(rows))
    np.testing.assert_array_equal(first.x_train[:, 0], first.y_train + 0.5)
    np.testing.assert_array_equal(first.x_test[:, 0], first.y_test + 0.5)
    np.testing.assert_array_equal(first.y_train, again.y_train)
    np.testing.assert_array_equal(first.y_test, again.y_test)


def test_another_seed_gives_another_split(load):
    text = "a,y\n" + "".join(f"0,{i}\n" for i in range(50))
    parts = [tuple(load(text, test_fraction=0.5, seed=seed).y_test) for seed in range(5)]
    assert len(set(parts)) == 5


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["3", "0", "-1"], [3, 0, -1]),
        (["3.0", "1e2", "7"], [3, 100, 7]),
        (["9223372036854775807", "-9223372036854775808"], [2**63 - 1, -(2**63)]),
    ],
)
def test_integers_become_labels(load, cells, expected):
    data = load("a,y\n" + "".join(f"1,{cell}\n" for cell in cells))
    assert data.y_train.dtype == np.int64
    assert data.y_train.tolist() == expected
    assert data.class_names is None


def test_numbers_of_which_one_is_not_integral_become_values(load):
    data = load("a,y\n1,3\n1,2.5\n")
    assert data.y_train.dtype == np.float32
    assert data.y_train.tolist() == [3, 2.5]


def test_text_becomes_sorted_classes(load):
    data = load("a,y\n1,dog\n1,cat\n1,dog\n1,3\n")
    assert data.class_names == ("3", "cat", "dog")
    assert data.y_train.dtype == np.int64
    assert data.y_train.tolist() == [2, 1, 2, 0]


def test_spaces_blank_lines_and_quotes_do_not_matter(load):
    data = load(' "a", b ,"y"\n\n 1 ,\t2, "cat, big"\n\n   \n3,4,dog\n\n')
    assert data.x_train.tolist() == [[1, 2], [3, 4]]
    assert data.class_names == ("cat, big", "dog")


def test_the_target_may_stand_anywhere(load):
    data = load("a,y,b\n1,0,2\n3,1,4\n")
    assert data.x_train.tolist() == [[1, 2], [3, 4]]
    assert data.y_train.tolist() == [0, 1]


def test_text_in_a_number_column(fails):
    message = fails("a,b,y\n1,2,0\n1,oops,0\n")
    assert 'data.csv, line 3, column "b": "oops" is not a number' in message


def test_a_line_is_counted_in_the_file_not_in_rows(fails):
    message = fails('a,y\n\n1,"a\nb"\n\nx,c\n')
    assert 'line 6, column "a": "x"' in message


@pytest.mark.parametrize("cell", ["1_000", "0x10", "1,5", "--1", "1 2", "$3"])
def test_other_spellings_of_numbers_are_text(fails, cell):
    assert f'column "a": "{cell}" is not a number' in fails(f"a;y\n{cell};0\n", delimiter=";")


@pytest.mark.parametrize("cell", ["nan", "NaN", "inf", "-Infinity", "1e999"])
def test_nan_and_infinity(fails, cell):
    assert f'line 2, column "a": "{cell}" is not finite' in fails(f"a,y\n{cell},0\n")
    assert f'line 3, column "y": "{cell}" is not finite' in fails(f"a,y\n1,0\n1,{cell}\n")
    assert f'line 3, column "y": "{cell}" is not finite' in fails(f"a,y\n1,cat\n1,{cell}\n")


@pytest.mark.parametrize("cell", ["1e39", "-3.5e38"])
def test_numbers_beyond_float32(fails, cell):
    assert f'line 2, column "a": "{cell}" is beyond float32' in fails(f"a,y\n{cell},0\n")
    assert f'line 2, column "y": "{cell}" is beyond float32' in fails(f"a,y\n1,{cell}\n")


def test_labels_beyond_64_bits(fails):
    message = fails("a,y\n1,0\n1,9223372036854775808\n")
    assert 'line 3, column "y": "9223372036854775808" does not fit into a 64-bit integer' in message


def test_a_slip_in_a_target_of_measurements(fails):
    assert 'line 3, column "y": "3.x" is not a number, as other cells' in fails("a,y\n1,2.5\n1,3.x\n1,4.5\n")


@pytest.mark.parametrize(("row", "column"), [(",2,0", "a"), ("1, ,0", "b"), ("1,2,", "y"), ('1,"",0', "b")])
def test_an_empty_cell(fails, row, column):
    message = fails(f"a,b,y\n1,2,0\n{row}\n")
    assert f'line 3, column "{column}": the cell is empty' in message
    assert "fill it in or remove the row" in message


def test_rows_of_other_widths(fails):
    short = fails("a,b,y\n1,2,0\n1,2\n")
    assert 'line 3: 2 cells; the last one is under "b", expected 3 as in the header (a, b, y)' in short
    long = fails("a,b,y\n1,2,0,7\n")
    assert "line 2: 4 cells, expected 3 as in the header (a, b, y)" in long
    assert "delimiter ','" in long


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff", "  \n"])
def test_an_empty_file(fails, text):
    assert "is empty, expected a header line and rows" in fails(text)


def test_a_header_alone(fails):
    assert "has a header but no rows" in fails("a,y\n\n")


def test_a_missing_target_names_the_nearest_and_all(fails):
    message = fails("length,width,species\n1,2,0\n", "specis")
    assert 'no column "specis" for the target; did you mean "species"?; columns: length, width, species' in message
    assert 'no column "zzz" for the target; columns: length, width, species' in fails(
        "length,width,species\n1,2,0\n", "zzz"
    )


def test_names_twice_in_the_header(fails):
    assert 'line 1: the name "a" stands over columns 1 and 3; rename one' in fails("a,y,a\n1,2,3\n")


def test_a_column_without_a_name(fails):
    assert "line 1: column 1 of the header has no name" in fails(",a,y\n0,1,2\n")


def test_the_target_alone_asks_about_the_delimiter(fails):
    assert "its only column, expected at least one more; check that the delimiter ','" in fails("y\n1\n")


def test_not_utf8(fails):
    assert "line 3: byte 0xe9 is not UTF-8; save the file as UTF-8" in fails("a,y\n1,b\n1,caf\xe9\n".encode("latin-1"))


def test_quotes_left_open(fails):
    assert "line 3: not CSV" in fails('a,y\n1,b\n1,"c\n1,d\n')


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        Csv(str(tmp_path / "none.csv"), "y").load()


@pytest.mark.parametrize("delimiter", ["", ",,", "\n", "\r", '"', None])
def test_a_delimiter_that_is_none(delimiter):
    with pytest.raises(UsageError, match=r"Csv: delimiter=.* is not one character"):
        Csv("a.csv", "y", delimiter=delimiter)


def test_a_space_may_be_the_delimiter(load):
    assert load("a b y\n1 2 0\n", delimiter=" ").x_train.tolist() == [[1, 2]]


def test_a_fraction_outside_its_range():
    with pytest.raises(UsageError, match=r"Csv: test_fraction=1.0 is not a number from 0"):
        Csv("a.csv", "y", 1.0)


@pytest.mark.parametrize(("fraction", "part"), [(0.1, "test"), (0.9, "training")])
def test_a_fraction_that_leaves_a_part_empty(load, fraction, part):
    with pytest.raises(UsageError, match=rf'Csv ".*data\.csv": .* of 3 rows leaves the {part} part empty'):
        load("a,y\n1,0\n2,1\n3,0\n", test_fraction=fraction)


def test_status():
    assert Csv.status() == "reads your file"
