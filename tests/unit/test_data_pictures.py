"""Pictures: two formats, sizes within bounds, regular files, and one line for all others."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from firstorder.data.lists import is_clutter, lines, read_text
from firstorder.data.pictures import JPEG, Decoded, decode
from firstorder.errors import DataError


def saved(path: Path, format: str, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Path:
    Image.new(mode, size).save(path, format=format)
    return path


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_and_png_are_decoded(tmp_path: Path, format: str, mode: str) -> None:
    assert decode(saved(tmp_path / "a.jpg", format, mode=mode)).size == (40, 30)


def test_only_the_formats_that_are_named_are_decoded(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.jpg: cannot decode this image \(not JPEG\)"):
        decode(saved(tmp_path / "a.jpg", "PNG"), formats=JPEG)
    for format in ("GIF", "BMP", "TIFF", "PPM", "EPS"):
        with pytest.raises(DataError, match="not JPEG or PNG"):
            decode(saved(tmp_path / "a.jpg", format))


def test_postscript_starts_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    monkeypatch.setattr(
        subprocess, "check_call", lambda *_, **__: pytest.fail("a program was started")
    )
    (tmp_path / "a.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    )
    with pytest.raises(DataError, match="not JPEG or PNG"):
        decode(tmp_path / "a.jpg")


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header promises a size, with hardly any data."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


@pytest.mark.parametrize("size", [(65500, 1), (1, 65500), (13300, 13300), (2**31 - 1, 2**31 - 1)])
def test_giant_and_degenerate_sizes_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "a.png").write_bytes(png_of_size(*size))
    with pytest.raises(DataError, match=r"a\.png: .*(too many or too thin|exceeds limit)"):
        decode(tmp_path / "a.png")


def test_greys_of_sixteen_bits_are_refused_and_not_clipped(tmp_path: Path) -> None:
    image = Image.fromarray(np.full((30, 40), 40000, np.uint16))
    image.save(tmp_path / "a.png")
    with pytest.raises(DataError, match="save it with 8 bits a channel"):
        decode(tmp_path / "a.png", "L")


def test_a_grey_picture_may_have_an_alpha_channel(tmp_path: Path) -> None:
    Image.merge("LA", [Image.new("L", (40, 30), 200), Image.new("L", (40, 30))]).save(
        tmp_path / "a.png"
    )
    assert (np.asarray(decode(tmp_path / "a.png", "L")) == 200).all()
    assert (np.asarray(decode(tmp_path / "a.png", "RGB")) == 200).all()


def test_a_photograph_taken_sideways_is_turned_before_it_is_measured(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # the top of the picture is on the right
    image = Image.new("L", (40, 30))
    image.paste(255, (0, 0, 20, 30))
    image.save(tmp_path / "a.png", exif=exif)
    turned = Decoded((tmp_path / "a.png",), (1, 40, 30), resize=False)[:1][0, 0]
    assert turned[:20].min() == 255 and turned[20:].max() == 0
    stored = Decoded((tmp_path / "a.png",), (1, 30, 40), resize=False, upright=False)[:1][0, 0]
    assert np.array_equal(stored, np.asarray(image))


def test_what_is_no_regular_file_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").mkdir()
    for name in ("a.jpg", "b.jpg"):
        with pytest.raises(DataError, match=rf"{name}: (not a regular file|cannot be read)"):
            decode(tmp_path / name)


def test_damaged_pictures_end_in_one_line(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    for format in ("JPEG", "PNG"):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, format=format)
        for _ in range(100):
            content = bytearray(stream.getvalue())
            for place in generator.integers(0, len(content), 3):
                content[place] = generator.integers(256)
            path = tmp_path / "a.jpg"
            path.write_bytes(content[: generator.integers(1, len(content) + 1)])
            try:
                decode(path)
            except DataError as error:
                assert "\n" not in str(error) and "a.jpg" in str(error)


def test_slices_are_decoded_in_order(tmp_path: Path) -> None:
    paths = []
    for shade in range(9):
        paths.append(tmp_path / f"{shade}.png")
        Image.new("L", (8, 8), shade).save(paths[-1])
    images = Decoded(tuple(paths), (1, 8, 8), resize=False)
    assert images[2:7][:, 0, 0, 0].tolist() == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("name", ["._a.jpg", ".DS_Store", ".nfs0001", "Thumbs.db", "desktop.ini"])
def test_files_of_the_operating_system_are_known(name: str) -> None:
    assert is_clutter(name) and not is_clutter(f"a{name}")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_byte_order_marks_and_line_ends_are_no_part_of_a_list(
    tmp_path: Path, end: bytes, mark: bytes
) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(mark + end.join([b"a/\xc3\xa9\x0cb.jpg 1", b"", b"c.jpg 2", b""]))
    assert lines(path) == [(1, "a/é\x0cb.jpg 1"), (3, "c.jpg 2")]


def test_text_of_another_encoding_is_refused_by_line(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    for content in (b"a\nb\xe9\n", "a\nb".encode("utf-16")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"list\.txt: line \d: not UTF-8 text; save it as"):
            read_text(path)
