"""Compressed files, of each compression that is read."""

import io
import lzma
import zipfile

import pyarrow as pa


def packed(compression: str, parts: list[bytes]) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, compression) as stream:
        for part in parts:
            stream.write(part)
    return bytes(sink.getvalue())


def zipped(parts: list[bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("m.csv", "w") as member:
        for part in parts:
            member.write(part)
    return sink.getvalue()


PACKERS = {
    "gzip": lambda parts: packed("gzip", parts),
    "zstd": lambda parts: packed("zstd", parts),
    # Packing much with bzip2 takes long, but it may hold many streams.
    "bzip2": lambda parts: packed("bz2", parts[:1]) + (packed("bz2", parts[1:2]) * len(parts) if parts[1:] else b""),
    "lz4": lambda parts: packed("lz4", parts),
    "xz": lambda parts: lzma.compress(b"".join(parts), preset=0),
    "zip": zipped,
}
