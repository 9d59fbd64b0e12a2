import asyncio
import gzip

import pytest
from starlette.requests import Request

from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.rest.bounds import Body, BodyMemory, BodyTooLarge


def zipped(data, level=9):
    """The same bytes at any time: they are in the names of tests."""
    return gzip.compress(data, level, mtime=0)


LIMIT = 1000


def read(memory, *chunks, **headers):
    """A body read from these chunks."""
    messages = [
        {"type": "http.request", "body": chunk, "more_body": True}
        for chunk in chunks
    ]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive():
        return messages.pop(0)

    scope = {
        "type": "http",
        "headers": [
            (name.replace("_", "-").encode(), value.encode())
            for name, value in headers.items()
        ],
    }
    body = Body(memory)
    asyncio.run(body.read(Request(scope, receive)))
    return body


def test_chunks_are_joined():
    assert read(BodyMemory(LIMIT), b"ab", b"c").unpacked() == b"abc"


@pytest.mark.parametrize("size", [LIMIT, LIMIT + 1])
def test_the_limit_is_inclusive(size):
    half = size // 2
    memory = BodyMemory(LIMIT)
    if size == LIMIT:
        assert len(read(memory, b"x" * half, b"x" * half).unpacked()) == LIMIT
        return

    with pytest.raises(BodyTooLarge, match="more than 1000 bytes"):
        read(memory, b"x" * half, b"x" * (size - half))


@pytest.mark.parametrize("length", ["1001", "9" * 5000])
def test_an_announced_length_is_enough_to_refuse(length):
    with pytest.raises(BodyTooLarge):
        read(BodyMemory(LIMIT), content_length=length)


def test_unpacked_bytes_count_and_are_given_back():
    memory = BodyMemory(LIMIT)
    packed = zipped(b" " * LIMIT)
    bodies = [read(memory, packed, content_encoding="gzip") for _ in range(2)]
    bodies[0].unpacked()

    with pytest.raises(ServingError, match="more than 2000 bytes") as caught:
        bodies[1].unpacked()

    assert caught.value.code.name == "RESOURCE_EXHAUSTED"
    bodies[0].release()
    bodies[0].release()  # once is enough
    assert len(bodies[1].unpacked()) == LIMIT


@pytest.mark.parametrize("size", [LIMIT + 1, 10**7])
def test_a_bomb_is_too_large(size):
    packed = zipped(b" " * size)[:LIMIT]

    with pytest.raises(BodyTooLarge):
        read(BodyMemory(LIMIT), packed, content_encoding="gzip").unpacked()


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (b"no", "gzip", "not valid gzip"),
        (b"", "gzip", "one complete gzip member"),
        (zipped(b"{}")[:-4], "GZIP", "one complete gzip member"),
        (zipped(b"{}") * 2, "x-gzip", "one complete gzip member"),
        (b"{}", "br", "Received: Content-Encoding: br."),
    ],
)
def test_other_contents_are_refused(content, encoding, message):
    body = read(BodyMemory(LIMIT), content, content_encoding=encoding)

    with pytest.raises(ServingError, match=message) as caught:
        body.unpacked()

    assert caught.value.code.name == "INVALID_ARGUMENT"
