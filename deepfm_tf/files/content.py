"""What is in a file, told by its first bytes; text out of any packing."""

from __future__ import annotations

import codecs
import gzip
import zipfile
import zlib
from typing import Any, BinaryIO

from deepfm_tf.errors import MissingPackageError, UserError
from deepfm_tf.files.urls import head_of, is_url, open_binary

# First bytes -> how what follows is compressed.
_COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
}
# Brotli has no first bytes of its own.
_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zstd", ".lz4", ".br", ".zip")
# First bytes -> what is no text, and cannot be read.
_FOREIGN = {
    b"PAR1": "a Parquet file inside another one",
    b"ARROW1": "an Arrow (Feather) file",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"\x89HDF": "an HDF5 file",
    b"SQLite format 3": "an SQLite database",
    b"\x93NUMPY": "a NumPy file",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\xff\x06\x00\x00sNaPpY": "compressed with Snappy",
    b"%PDF": "a PDF file",
}
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_HEAD_BYTES = 512


def is_parquet(path: str) -> bool:
    """Whether a file is Parquet, by its first bytes or by its name."""
    is_named = path.lower().endswith((".parquet", ".pq"))
    return is_named or head_of(path)[:4] == b"PAR1"


def is_json_lines(path: str) -> bool:
    """Whether a file holds JSON lines, by its name."""
    return plain_name(path).endswith((".jsonl", ".ndjson", ".json"))


def plain_name(path: str) -> str:
    """The name of a file in small letters, without that of its packing."""
    name = path.lower()
    if is_url(name):
        name = name.partition("?")[0]
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def compression_of(path: str) -> str | None:
    """How a file is compressed, whatever its name; None if it is not."""
    head = head_of(path)
    for magic, name in _COMPRESSIONS.items():
        # "BZh" may begin a text; a bzip2 file goes on with pi.
        is_bz2 = head[4:10] in (b"1AY&SY", b"\x17rE8P\x90")
        if head.startswith(magic) and (name != "bz2" or is_bz2):
            return name
    return "brotli" if path.lower().endswith(".br") else None


class TextContent:
    """The text of a file as UTF-8, without its byte order mark.

    Args:
        path: str. A file, which may be compressed (gzip, bz2, xz, zstd, lz4,
            Brotli, or a zip archive of one file) and may be UTF-16 or
            UTF-32 where it begins with a byte order mark.

    Raises:
        ValueError: the file is something else; the message says what.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._compression = compression_of(path)
        self._decoder: Any = None
        self._is_at_end = False
        self._packed: BinaryIO | None = None
        self._file = self._open()
        self._waiting = b""
        try:
            self._begin()
        except BaseException:
            self._close()
            raise

    def read(self, size: int) -> bytes:
        """The next bytes: `size` of them, or all that are left."""
        parts = [self._waiting]
        have = len(self._waiting)
        # What unpacks, or decodes, may give less than it is asked for.
        while have < size and not self._is_at_end:
            parts.append(self._next(size - have))
            have += len(parts[-1])
        data = b"".join(parts) if len(parts) != 2 or parts[0] else parts[1]
        self._waiting = data[size:]
        return data[:size]

    def __enter__(self) -> TextContent:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def _close(self) -> None:
        self._file.close()
        if self._packed is not None:
            self._packed.close()

    def _next(self, size: int) -> bytes:
        """Some bytes, about `size` of them."""
        data = self._unpack(size)
        self._is_at_end = not data
        return self._decode(data) if self._decoder else data

    def _decode(self, data: bytes) -> bytes:
        try:
            text = self._decoder.decode(data, final=not data)
            return bytes(text.encode("utf-8"))
        except UnicodeError as error:
            raise UserError(
                f"{self._path} begins with a byte order mark of UTF-16 or "
                f"UTF-32, but is not such text ({error}). Convert it to UTF-8."
            ) from error

    def _begin(self) -> None:
        head = self.read(_HEAD_BYTES)
        self._waiting = head
        for mark, encoding in _BYTE_ORDER_MARKS.items():
            if head.startswith(mark):
                self._decoder = codecs.getincrementaldecoder(encoding)()
                self._waiting = self._decode(head)
                self._is_at_end = False  # to be told that nothing follows
                return
        for magic, what in _FOREIGN.items():
            if head.startswith(magic):
                raise UserError(
                    f"{self._path} must be text or a Parquet file, but is "
                    f"{what}. Save it as CSV or Parquet."
                )
        if head[257:262] == b"ustar":
            raise UserError(
                f"{self._path} must be one file, but is a tar archive. Unpack "
                "it, and name the files in it."
            )
        self._waiting = head.removeprefix(codecs.BOM_UTF8)

    def _open(self) -> BinaryIO:
        path, how = self._path, self._compression
        try:
            if how is None:
                return open_binary(path)
            file = open_binary(path, is_read_anywhere=how == "zip")
            self._packed = file
            if how == "gzip":
                return gzip.open(file, "rb")  # type: ignore[return-value]
            if how == "xz":
                return _open_xz(path, file)
            if how == "zip":
                return _open_zip(path, file)
            import pyarrow as pa  # what it cannot read is told sooner without

            stream: BinaryIO = pa.CompressedInputStream(file, how)
            return stream
        except BaseException as error:
            if self._packed is not None:
                self._packed.close()
            if isinstance(error, (zipfile.BadZipFile, NotImplementedError)):
                raise self._damaged(error) from error
            raise

    def _unpack(self, size: int) -> bytes:
        if self._compression is None:
            return self._file.read(size)
        try:
            return self._file.read(size)
        except _damages() as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> UserError:
        return UserError(
            f"{self._path} is compressed ({self._compression}), but cannot "
            f"be unpacked to its end ({error}): the file is cut off or "
            "damaged. Fetch it again."
        )


def _open_xz(path: str, file: BinaryIO) -> BinaryIO:
    try:
        import lzma
    except ImportError as error:  # a Python that was built without it
        raise MissingPackageError(
            f"{path} is compressed (xz), which this Python was built "
            "without. Unpack it, or compress it with gzip or zstd."
        ) from error
    return lzma.open(file, "rb")  # type: ignore[return-value]


def _open_zip(path: str, file: BinaryIO) -> BinaryIO:
    archive = zipfile.ZipFile(file)
    members = [
        info
        for info in archive.infolist()
        if not info.is_dir() and not info.filename.startswith("__MACOSX/")
    ]
    names = [info.filename for info in members]
    if "[Content_Types].xml" in names:
        raise UserError(
            f"{path} must be text or a Parquet file, but is an Excel "
            "workbook or another office document. Save it as CSV."
        )
    if len(members) != 1:
        shown = ", ".join(names[:3]) + ", …" * (len(names) > 3)
        raise UserError(
            f"{path} is compressed (zip) and must hold one file. Received: "
            f"{len(members)} files ({shown or 'none'}). Unpack it, and name "
            "the files in it."
        )
    if members[0].flag_bits & 1:
        raise UserError(
            f"{path} is compressed (zip) with a password. Unpack it, and "
            "name the file in it."
        )
    return archive.open(members[0])  # type: ignore[return-value]


def _damages() -> tuple[type[Exception], ...]:
    import pyarrow as pa

    kinds = (OSError, EOFError, zlib.error, zipfile.BadZipFile)
    try:
        from lzma import LZMAError
    except ImportError:
        return (*kinds, pa.ArrowException)
    return (*kinds, pa.ArrowException, LZMAError)
