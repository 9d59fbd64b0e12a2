"""Files are known by what is in them, whatever their names."""

import bz2
import gzip
import lzma
import zipfile

import pyarrow as pa
import pytest

from deepfm_tf.errors import UserError
from deepfm_tf.files.content import (
    TextContent,
    compression_of,
    is_parquet,
    plain_name,
)

TEXT = b"site,click\n" + b"".join(b"s%d,%d\n" % (n, n % 2) for n in range(5000))


def arrow(name):
    def compress(data):
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, name) as stream:
            stream.write(data)
        return sink.getvalue().to_pybytes()

    return compress


COMPRESSIONS = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zstd": arrow("zstd"),
    "lz4": arrow("lz4"),
}


def read(path, size=1000):
    parts = []
    with TextContent(str(path)) as content:
        while part := content.read(size):
            parts.append(part)
    assert all(len(part) == size for part in parts[:-1])
    return b"".join(parts)


def zip_of(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_compressed_text_is_read_under_any_name(tmp_path, name):
    path = tmp_path / "rows"
    data = COMPRESSIONS[name](TEXT)
    # Two in a row are one text, as many tools write them.
    path.write_bytes(data + data)

    assert compression_of(str(path)) == name
    assert read(path) == TEXT + TEXT


def test_brotli_and_zip_are_read(tmp_path):
    (tmp_path / "r.csv.br").write_bytes(arrow("brotli")(TEXT))
    zip_of(tmp_path / "r.zip", **{"__MACOSX/r": b"", "a/r.csv": TEXT})

    assert read(tmp_path / "r.csv.br") == TEXT
    assert read(tmp_path / "r.zip") == TEXT


def test_plain_text_called_gz_is_read(tmp_path):
    (tmp_path / "r.csv.gz").write_bytes(b"\xef\xbb\xbf" + TEXT)

    assert read(tmp_path / "r.csv.gz") == TEXT
    assert read(tmp_path / "r.csv.gz", size=7) == TEXT


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_damaged_files_are_told(tmp_path, name):
    cut, flipped = (bytearray(COMPRESSIONS[name](TEXT)) for _ in range(2))
    del cut[-9:]
    flipped[len(flipped) // 2] ^= 255
    # Arrow writes zstd without a checksum: a flipped bit is other text.
    for data in [cut] if name == "zstd" else [cut, flipped]:
        (tmp_path / "r.csv").write_bytes(data)

        with pytest.raises(UserError, match="r.csv is compr.* cannot be unp"):
            read(tmp_path / "r.csv")


def test_damaged_and_locked_zips_are_told(tmp_path):
    path = tmp_path / "r.zip"
    zip_of(path, r=TEXT)
    whole = path.read_bytes()
    for data in (whole[:-30], whole[:60] + b"\0" * 9 + whole[69:]):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"compressed \(zip\), but cannot"):
            read(path)

    locked = bytearray(whole)
    locked[6] |= 1
    locked[whole.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(locked)
    with pytest.raises(UserError, match="with a password"):
        read(path)


def test_archives_of_other_than_one_file_are_refused(tmp_path):
    zip_of(tmp_path / "two.zip", a=b"x", b=b"y")
    zip_of(tmp_path / "none.zip")
    zip_of(tmp_path / "x.xlsx", **{"[Content_Types].xml": b"", "xl/b": b""})
    tar = bytearray(512)
    tar[257:262] = b"ustar"
    (tmp_path / "x.tar").write_bytes(tar)

    for name, message in {
        "two.zip": r"must hold one file. Received: 2 files \(a, b\)",
        "none.zip": r"must hold one file. Received: 0 files \(none\)",
        "x.xlsx": "is an Excel workbook",
        "x.tar": "is a tar archive",
    }.items():
        with pytest.raises(UserError, match=f"{name} .*{message}"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"ARROW1\0\0", "an Arrow"),
        (b"ORC\x12", "an ORC file"),
        (b"Obj\x01\x04", "an Avro file"),
        (b"\xd0\xcf\x11\xe0\xa1", "an Excel workbook"),
        (gzip.compress(b"PAR1\x15", mtime=0), "a Parquet file inside another"),
    ],
)
def test_files_that_are_no_text_are_named(tmp_path, data, what):
    (tmp_path / "rows.csv").write_bytes(data)

    with pytest.raises(UserError, match=f"rows.csv must be text .* is {what}"):
        read(tmp_path / "rows.csv")


def test_names_and_first_bytes_make_parquet(tmp_path):
    (tmp_path / "part-0001").write_bytes(b"PAR1....")
    (tmp_path / "x.parquet").write_bytes(b"")
    (tmp_path / "x.csv").write_bytes(b"PAR,1\n")

    assert is_parquet(str(tmp_path / "part-0001"))
    assert is_parquet(str(tmp_path / "x.parquet"))
    assert not is_parquet(str(tmp_path / "x.csv"))


def test_packing_is_no_part_of_a_name():
    assert plain_name("A/Rows.TSV.zst") == "a/rows.tsv"
    assert plain_name("rows.bz2") == "rows"
