"""Files by URL, in whatever store Arrow knows: S3, Google, Azure, HDFS.

What is not a URL is a path of this machine, and opened by Python alone.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import SplitResult, quote, unquote, urlsplit

from deepfm_tf.errors import MissingFileError, UserError, did_you_mean
from deepfm_tf.files.folders import FoundFile, is_hidden, pattern_of

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# Scheme -> where Arrow looks for the right to read.
_KEYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or gcloud's login",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS, or gcloud's login",
    "abfs": "AZURE_CLIENT_ID and its like, or az's login",
    "abfss": "AZURE_CLIENT_ID and its like, or az's login",
    "hdfs": "kinit, and HADOOP_HOME with CLASSPATH",
    "viewfs": "kinit, and HADOOP_HOME with CLASSPATH",
}
# What is asked of a store at a time: each time takes as long as a round trip.
_BUFFER_BYTES = 4 * 2**20
_HEAD_BYTES = 16
# What stores say, in which words.
_NOT_ALLOWED = re.compile(
    r"access.?denied|forbidden|\b40[13]\b|credential|authenti|authoriz"
    r"|invalid.?access.?key|signature|token.*expired",
    re.IGNORECASE,
)
_NO_BUCKET = re.compile(
    r"no.?such.?bucket|bucket.*(not found|not exist)"
    r"|container.*(not found|not exist)",
    re.IGNORECASE,
)


def is_url(name: str | Path) -> bool:
    """Whether a name is that of a file elsewhere.

    Example:

    >>> is_url("s3://logs/day.parquet"), is_url("day.parquet")
    (True, False)
    """
    return bool(_URL.match(str(name)))


def local_name(name: str | Path) -> str:
    """The path of a `file://` URL; any other name as it is.

    Example:

    >>> local_name("file:///data/day%201.csv")
    '/data/day 1.csv'
    """
    text = str(name)
    if not text.lower().startswith("file://"):
        return text
    # It brings half of Python's network code, and `--help` needs none.
    from urllib.request import url2pathname

    parts = urlsplit(text, allow_fragments=False)
    if parts.netloc not in ("", "localhost"):
        raise UserError(
            "A file:// URL must name a file of this machine, with three "
            f"slashes: file:///data/day.csv. Received: {text}."
        )
    return url2pathname(parts.path)


def open_binary(path: str, is_read_anywhere: bool = False) -> BinaryIO:
    """A file, opened to be read.

    Args:
        path: its path or URL.
        is_read_anywhere: bool. Whether it is read at chosen places, as
            Parquet and zip are, and not from its beginning to its end.
    """
    if not is_url(path):
        return open(path, "rb")
    with _told(path):
        system, name = _resolved(path)
        file: Any
        if is_read_anywhere:
            file = system.open_input_file(name)
        else:
            file = system.open_input_stream(
                name, compression=None, buffer_size=_BUFFER_BYTES
            )
        return file  # type: ignore[no-any-return]


def head_of(path: str) -> bytes:
    """The first bytes of a file, by which its kind is told."""
    if is_url(path):
        return _head_of_url(path)
    with open(path, "rb") as file:
        return file.read(_HEAD_BYTES)


@functools.lru_cache(maxsize=65_536)
def _head_of_url(url: str) -> bytes:
    """Asked for several times, and each is a round trip."""
    with _told(url):
        system, name = _resolved(url)
        with system.open_input_file(name) as file:
            return bytes(file.read(_HEAD_BYTES))


def size_of(path: str) -> int:
    """The bytes of a file."""
    if not is_url(path):
        return Path(path).stat().st_size
    with _told(path):
        system, name = _resolved(path)
        return int(system.get_file_info(name).size or 0)


def identity_of(url: str) -> str:
    """What a store says of a file: of other contents it says another thing.

    Its size, the time of its last change and, where the store has one, its
    ETag. The contents are not read.

    Raises:
        MissingFileError: there is no such file.
    """
    with _told(url):
        system, name = _resolved(url)
        info = system.get_file_info(name)
        if not info.is_file:
            raise MissingFileError(f"There is no file {url}.")
        with system.open_input_stream(name) as file:
            metadata = file.metadata() or {}
    tags = {str(_text(k)).lower(): _text(v) for k, v in metadata.items()}
    etag = tags.get("etag", "").strip('"') or "none"
    return f"size {info.size}, changed {info.mtime_ns}, etag {etag}"


def files_at(url: str) -> list[str]:
    """The files that a URL stands for: itself, or those below or like it.

    Args:
        url: of a file, of a folder, or with `*`, `**` or `[...]` in its path.

    Raises:
        MissingFileError: there is none.
    """
    import pyarrow.fs

    parts = urlsplit(url, allow_fragments=False)
    _check_url(url, parts)
    with _told(url):
        system, name = _resolved(url)
        pattern, root = pattern_of(name)
        if pattern is None and _is_file(url):
            return [url]
        selector = pyarrow.fs.FileSelector(
            root, allow_not_found=True, recursive=True
        )
        names = sorted(
            info.path
            for info in system.get_file_info(selector)
            if info.is_file
            and not is_hidden(info.path.removeprefix(root))
            and (pattern is None or pattern.fullmatch(info.path))
        )
        if not names:
            _check_bucket(system, name.split("/")[0], url)
            raise MissingFileError(
                f"There is no file {url}.{_hint(system, name, url)}"
            )
    # A name in a store begins with the bucket, which a URL has before.
    start = len(name) - len(unquote(parts.path).rstrip("/"))
    return [
        FoundFile(
            parts._replace(
                path=quote(found[start:], safe="/=:,+@!$&'()~")
            ).geturl(),
            found.removeprefix(root).lstrip("/"),
        )
        for found in names
    ]


def _is_file(url: str) -> bool:
    try:
        _check_is_file(url)
    except FileNotFoundError:
        return False
    return True


@functools.lru_cache(maxsize=65_536)
def _check_is_file(url: str) -> None:
    """Asked for as often as the files are listed; what fails is asked anew."""
    system, name = _resolved(url)
    if not system.get_file_info(name).is_file:
        raise MissingFileError(url)


def _check_url(url: str, parts: SplitResult) -> None:
    if parts.scheme not in _KEYS:
        raise UserError(
            f"A URL must begin with file or one of {', '.join(_KEYS)}. "
            f"Received: {url}. Fetch the file, and name its path."
        )
    secret, _, host = parts.netloc.rpartition("@")
    if ":" in secret:
        raise UserError(
            "A URL must not hold a password, which would appear in messages "
            f"and files. Received: one for {parts.scheme}://{host}. Give it "
            f"by {_KEYS[parts.scheme]}."
        )


def _resolved(url: str) -> tuple[FileSystem, str]:
    """A store, and what it calls the file."""
    parts = urlsplit(url, allow_fragments=False)
    # Its `?region=...` says which store it is, not which file.
    system, root = _store(parts._replace(path="/").geturl())
    return system, root.rstrip("/") + unquote(parts.path).rstrip("/")


@functools.lru_cache(maxsize=64)
def _store(url: str) -> tuple[FileSystem, str]:
    """A store with its connections, and what its names begin with."""
    import pyarrow.fs

    system, root = pyarrow.fs.FileSystem.from_uri(url)
    return system, root


def _check_bucket(system: FileSystem, bucket: str, url: str) -> None:
    from pyarrow.fs import FileType

    info = system.get_file_info(bucket) if bucket else None
    if info is not None and info.type == FileType.NotFound:
        raise MissingFileError(
            f"There is no bucket {bucket}, of {url}. Check its name and its "
            "region."
        )


def _hint(system: FileSystem, name: str, url: str) -> str:
    import pyarrow.fs

    folder, _, last = name.rpartition("/")
    selector = pyarrow.fs.FileSelector(folder, allow_not_found=True)
    names = [info.base_name for info in system.get_file_info(selector)]
    above = url.rpartition("/")[0]
    return did_you_mean(last, names, lambda other: f"{above}/{other}")


@contextlib.contextmanager
def _told(url: str) -> Iterator[None]:
    """What a store says, as what is wrong and what to do."""
    import pyarrow as pa

    parts = urlsplit(url, allow_fragments=False)
    try:
        yield
    except UserError:
        raise
    except (OSError, pa.ArrowException, ValueError) as error:
        reason = str(error).strip().rstrip(".")
        # A bucket may be called no-such-bucket.
        if _NO_BUCKET.search(reason.replace(parts.netloc, "")):
            raise MissingFileError(
                f"There is no bucket {parts.netloc}, of {url}. Check its "
                f"name and its region. ({reason}.)"
            ) from error
        if _NOT_ALLOWED.search(reason):
            raise UserError(
                f"You have no permission to read {url}: set it up by "
                f"{_KEYS.get(parts.scheme, 'the environment')}, or by the "
                f"role of this machine. ({reason}.)"
            ) from error
        if isinstance(error, FileNotFoundError):
            raise MissingFileError(f"There is no file {url}.") from error
        raise UserError(
            f"{url} cannot be read. Check its name, and that the store can "
            f"be reached from here. ({reason}.)"
        ) from error


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
