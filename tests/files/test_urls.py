"""Files in stores are found and read as those on a disk."""

import gzip
import zipfile
from urllib.parse import urlsplit

import pandas as pd
import pyarrow.fs
import pytest

import deepfm_tf
from deepfm_tf.files.urls import files_at, identity_of, size_of

SCHEMA = deepfm_tf.Schema(
    (deepfm_tf.CategoricalField("site", min_count=1),), "click"
)
FRAME = pd.DataFrame({"site": list("abcab"), "click": [0, 1, 0, 0, 1]})


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """A folder, and the URL by which a store made of it has its files."""

    class Stores:
        @staticmethod
        def from_uri(url):
            local = pyarrow.fs.LocalFileSystem()
            store = pyarrow.fs.SubTreeFileSystem(str(tmp_path), local)
            return store, urlsplit(url).netloc

    monkeypatch.setattr(pyarrow.fs, "FileSystem", Stores)
    # A name of its own: stores are remembered.
    folder = tmp_path / tmp_path.name.replace("_", "-")
    folder.mkdir()
    return folder, f"s3://{folder.name}"


def write(folder):
    for number in range(2):
        target = folder / f"day={number}"
        target.mkdir(parents=True)
        FRAME.to_parquet(target / "part.parquet")
        (target / "_SUCCESS").write_text("")
    FRAME.to_csv(folder / "x.csv", index=False)
    FRAME.to_csv(folder / "a b.csv.gz", index=False)
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.write(folder / "x.csv", "x.csv")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/x.csv?region=eu", ["/x.csv?region=eu"]),
        ("/a%20b.csv.gz", ["/a%20b.csv.gz"]),
        ("/day=1", ["/day=1/part.parquet"]),
        ("/day=1/", ["/day=1/part.parquet"]),
        ("/*/part.parquet", [f"/day={n}/part.parquet" for n in range(2)]),
        ("/day=*?a=b", [f"/day={n}/part.parquet?a=b" for n in range(2)]),
        ("/*.csv*", ["/a%20b.csv.gz", "/x.csv"]),
    ],
)
def test_a_url_stands_for_files_folders_and_patterns(bucket, name, expected):
    folder, url = bucket
    write(folder)

    assert files_at(url + name) == [url + each for each in expected]


def test_what_is_prepared_by_url_is_what_is_prepared_by_path(bucket, tmp_path):
    folder, url = bucket
    write(folder)
    schema = deepfm_tf.Schema(
        (*SCHEMA.fields, deepfm_tf.CategoricalField("day", min_count=1)),
        "click",
    )

    for names, field in (
        (["day=*"], schema),
        (["x.csv", "a b.csv.gz", "x.zip"], SCHEMA),
    ):
        paths = [f"{folder}/{name}" for name in names]
        urls = [f"{url}/{name.replace(' ', '%20')}" for name in names]
        by_path = deepfm_tf.prepare(paths, tmp_path / "by path", schema=field)
        by_url = deepfm_tf.prepare(urls, tmp_path / "by url", schema=field)

        assert by_url.num_rows == by_path.num_rows
        for name in ("checksums.bin", "shard-00000.bin"):
            one, other = (
                (tmp_path / way / name).read_bytes()
                for way in ("by path", "by url")
            )
            assert one == other


def test_a_file_in_a_store_is_prepared_once_until_it_changes(bucket, tmp_path):
    folder, url = bucket
    write(folder)

    def prepare():
        deepfm_tf.prepare(f"{url}/x.csv", tmp_path / "p", schema=SCHEMA)
        return (tmp_path / "p").stat().st_ino

    first = prepare()
    assert prepare() == first
    with open(folder / "x.csv", "a") as file:
        file.write("a,0\n")

    assert prepare() != first
    assert deepfm_tf.PreparedData.load(tmp_path / "p").num_rows == 6


def test_what_is_not_there_is_told_with_what_is_meant(bucket):
    folder, url = bucket
    write(folder)

    with pytest.raises(FileNotFoundError, match="There is no file .*mean '?s3"):
        files_at(f"{url}/x.cvs")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        files_at(f"{url}/*.tsv")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("AWS Error ACCESS_DENIED during HeadObject", "AWS_ACCESS_KEY_ID and"),
        ("AWS Error NO_SUCH_BUCKET: nothing", "There is no bucket"),
        (
            "curlCode: 6, Couldn't resolve host name",
            "that the store can be reached",
        ),
    ],
)
def test_what_a_store_says_is_told_with_what_to_do(
    said, expected, bucket, monkeypatch
):
    class Stores:
        @staticmethod
        def from_uri(url):
            raise OSError(said)

    monkeypatch.setattr(pyarrow.fs, "FileSystem", Stores)

    with pytest.raises(deepfm_tf.UserError, match=expected) as caught:
        files_at(f"{bucket[1]}/x.csv")
    assert f"{bucket[1]}/x.csv" in str(caught.value)
    assert said in str(caught.value)


def test_a_bucket_may_be_called_as_if_there_were_none(monkeypatch):
    class Stores:
        @staticmethod
        def from_uri(url):
            raise OSError("no-such-bucket-1: Could not resolve host")

    monkeypatch.setattr(pyarrow.fs, "FileSystem", Stores)

    with pytest.raises(
        deepfm_tf.UserError, match="that the store can be reached"
    ):
        files_at("s3://no-such-bucket-1/x.csv")


def test_a_url_that_cannot_be_read_is_refused():
    with pytest.raises(ValueError, match="must begin with file or one of s3"):
        files_at("http://a/b.csv")
    with pytest.raises(ValueError, match="must not hold a password") as caught:
        files_at("s3://me:secret@bucket/x.csv")
    assert "secret" not in str(caught.value)


def test_prepared_data_are_not_written_to_a_url(tmp_path):
    with pytest.raises(ValueError, match="`directory` must be on a disk"):
        deepfm_tf.prepare(FRAME, "s3://bucket/prepared", schema=SCHEMA)


def test_gzip_in_a_store_is_unpacked(bucket):
    folder, url = bucket
    (folder / "a.csv").write_bytes(gzip.compress(b"site,click\na,1\nb,0\n"))

    assert size_of(f"{url}/a.csv") == (folder / "a.csv").stat().st_size
    assert identity_of(f"{url}/a.csv").startswith("size ")
    vocabulary = deepfm_tf.fit_vocabulary(f"{url}/a.csv", SCHEMA)
    assert vocabulary.values["site"].tolist() == ["a", "b"]


@pytest.fixture
def s3(monkeypatch):
    """Gives a bucket of a server that speaks S3, as what writes and a URL."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    server.start()
    host, port = server.get_host_and_port()
    query = f"?endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    store, _ = pyarrow.fs.FileSystem.from_uri(
        f"s3://clicks{query}&allow_bucket_creation=true"
    )
    store.create_dir("clicks")
    yield store, query
    server.stop()


@pytest.mark.s3
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_files_in_s3_are_read_as_those_on_a_disk(s3, tmp_path):
    store, query = s3
    write(tmp_path / "log")
    for path in sorted((tmp_path / "log").rglob("*.*")):
        name = path.relative_to(tmp_path / "log").as_posix()
        # Arrow would pack what is called .gz.
        with store.open_output_stream(
            f"clicks/{name}", compression=None
        ) as file:
            file.write(path.read_bytes())
    fields = (*SCHEMA.fields, deepfm_tf.CategoricalField("day", min_count=1))
    schema = deepfm_tf.Schema(fields, "click")

    for name, where in (("path", tmp_path / "log"), ("url", "s3://clicks")):
        suffix = query if name == "url" else ""
        for kind, files, known in (
            ("parquet", ["day=*"], schema),
            ("text", ["x.csv", "a%20b.csv.gz", "x.zip"], SCHEMA),
        ):
            names = [f"{where}/{file}{suffix}" for file in files]
            if name == "path":
                names = [each.replace("%20", " ") for each in names]
            deepfm_tf.prepare(names, tmp_path / name / kind, schema=known)

    for kind in ("parquet", "text"):
        found = [
            (tmp_path / name / kind / "shard-00000.bin").read_bytes()
            for name in ("path", "url")
        ]
        assert found[0] == found[1]
    assert "etag none" not in identity_of(f"s3://clicks/x.csv{query}")
    with pytest.raises(FileNotFoundError, match="mean s3://clicks/x.csv"):
        files_at(f"s3://clicks/x.cvs{query}")
    with pytest.raises(FileNotFoundError, match="no bucket klicks"):
        files_at(f"s3://klicks/x.csv{query}")


def test_a_store_is_cut_by_time_anew(bucket, tmp_path):
    folder, url = bucket
    frame = pd.DataFrame({"at": range(10**9, 10**9 + 10), "click": [0, 1] * 5})
    frame.to_csv(folder / "x.csv", index=False)
    kept = tmp_path / "cuts.json"

    parts = deepfm_tf.split_by_time(f"{url}/x.csv", "at", kept=kept)

    by_path = deepfm_tf.split_by_time(folder / "x.csv", "at")
    assert parts == by_path
    assert not kept.exists()
