"""The reader of IDX files, on sound and damaged ones."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gpudl.datasets.idx import read_idx
from gpudl.errors import DataError

DTYPES = ["uint8", "int8", "int16", "int32", "float32", "float64"]


@st.composite
def arrays(draw, min_side=0):
    shape = draw(st.lists(st.integers(min_side, 5), min_size=1, max_size=4))
    seed = draw(st.integers(0, 2**32))
    raw = np.random.default_rng(seed).integers(-(2**31), 2**31, shape)
    return raw.astype(draw(st.sampled_from(DTYPES)))


@settings(derandomize=True, deadline=None)
@given(array=arrays(), gzipped=st.booleans(), named_gz=st.booleans())
def test_round_trip(scratch, encode_idx, array, gzipped, named_gz):
    raw = encode_idx(array)
    path = scratch / ("a.gz" if named_gz else "a")
    path.write_bytes(gzip.compress(raw) if gzipped else raw)
    got = read_idx(path)
    assert got.dtype == array.dtype
    assert got.dtype.isnative
    assert got.flags.writeable
    assert got.shape == array.shape
    np.testing.assert_array_equal(got, array)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(array=arrays(min_side=1), gzipped=st.booleans())
def test_truncated_at_every_byte(scratch, encode_idx, array, gzipped):
    raw = encode_idx(array)
    whole = gzip.compress(raw) if gzipped else raw
    path = scratch / "cut"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"cut: .*copy or download it again"):
            read_idx(path)


@settings(derandomize=True, deadline=None)
@given(array=arrays(), extra=st.binary(min_size=1, max_size=9), gzipped=st.booleans())
def test_too_long(scratch, encode_idx, array, extra, gzipped):
    raw = encode_idx(array) + extra
    path = scratch / "long"
    path.write_bytes(gzip.compress(raw) if gzipped else raw)
    expected = f"long: too long, {len(raw)} bytes where .* values of {array.dtype.name} take {len(raw) - len(extra)}"
    with pytest.raises(DataError, match=expected):
        read_idx(path)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(array=arrays(), data=st.data())
def test_a_flipped_byte_of_gzip_never_gives_other_values(scratch, encode_idx, array, data):
    whole = bytearray(gzip.compress(encode_idx(array)))
    place = data.draw(st.integers(2, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    path = scratch / "flipped"
    path.write_bytes(whole)
    try:
        got = read_idx(path)
    except DataError as error:
        assert "flipped: " in str(error)
    else:
        np.testing.assert_array_equal(got, array)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(raw=st.binary(max_size=60), idx_magic=st.booleans())
def test_noise_is_refused_or_read_but_never_crashes(scratch, raw, idx_magic):
    path = scratch / "noise"
    path.write_bytes(b"\0\0\x08" + raw if idx_magic else raw)
    try:
        read_idx(path)
    except DataError as error:
        assert "noise: " in str(error)
        assert "expected" in str(error) or "take" in str(error)


@settings(derandomize=True, deadline=None)
@given(magic=st.binary(min_size=4, max_size=4))
def test_wrong_magic(scratch, magic):
    assume(magic[:2] not in (b"\0\0", b"\x1f\x8b"))
    path = scratch / "magic"
    path.write_bytes(magic + bytes(20))
    with pytest.raises(DataError) as caught:
        read_idx(path)
    message = str(caught.value)
    assert f"magic: begins with the bytes {magic.hex(' ')}, expected an IDX file: 00 00, a type code" in message
    assert "08, 09, 0b, 0c, 0d, 0e" in message
    assert "check that it is the right file" in message


@pytest.mark.parametrize("magic", [b"\0\0\x0a\1", b"\0\0\x08\0", b"\0\0\x08\x21", b"\0\0\x08\xff"])
def test_unknown_type_or_number_of_dimensions(tmp_path, magic):
    path = tmp_path / "a"
    path.write_bytes(magic + bytes(2000))
    with pytest.raises(DataError, match=f"begins with the bytes {magic.hex(' ')}, expected"):
        read_idx(path)


def test_a_header_cut_short_says_how_long_it_should_be(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(b"\0\0\x08\x03" + bytes(6))
    with pytest.raises(DataError, match=r"images: cut short, 10 bytes where the header alone takes 16"):
        read_idx(path)


def test_a_body_cut_short_says_what_is_missing(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(b"\0\0\x08\x03" + struct.pack(">3I", 60000, 28, 28) + bytes(100))
    with pytest.raises(DataError, match=r"images: cut short, 116 bytes where 60000 x 28 x 28 values of uint8 take 470"):
        read_idx(path)


def test_sizes_beyond_memory_are_refused_before_they_are_allocated(tmp_path):
    path = tmp_path / "huge"
    path.write_bytes(b"\0\0\x0e\x20" + b"\xff" * 4 * 32)
    with pytest.raises(DataError, match="huge: cut short, 132 bytes"):
        read_idx(path)


def test_an_impossible_shape_without_values_is_refused(tmp_path):
    path = tmp_path / "odd"
    path.write_bytes(b"\0\0\x08\x04" + struct.pack(">4I", 0, 2**32 - 1, 2**32 - 1, 2**32 - 1))
    with pytest.raises(DataError, match=r"odd: the shape .* of its header is impossible"):
        read_idx(path)


def test_bad_gzip_says_so(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(b"\x1f\x8b" + bytes(30))
    with pytest.raises(DataError, match=r"a\.gz: 32 bytes of damaged gzip .*expected a whole file; copy or download"):
        read_idx(path)


def test_empty_and_missing(tmp_path):
    (tmp_path / "empty").touch()
    with pytest.raises(DataError, match="empty: 0 bytes, expected an IDX file of at least 8"):
        read_idx(tmp_path / "empty")
    with pytest.raises(DataError, match="missing: no such file"):
        read_idx(tmp_path / "missing")
