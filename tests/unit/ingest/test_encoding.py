from __future__ import annotations

import codecs

import pytest

from secondme.errors import UnsupportedFormat
from secondme.ingest.parse.encoding import decode_text, looks_binary

RUSSIAN = "Сегодня мы идём в магазин за хлебом и молоком. Потом домой. "


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"plain", "plain"),
        ("naïve 日本".encode(), "naïve 日本"),
        (codecs.BOM_UTF8 + "é".encode(), "é"),
        ("é日".encode("utf-16"), "é日"),
        (codecs.BOM_UTF16_BE + "é日".encode("utf-16-be"), "é日"),
        ("é日".encode("utf-32"), "é日"),
        ("No mark at all".encode("utf-16-le"), "No mark at all"),
        ("No mark at all".encode("utf-16-be"), "No mark at all"),
        ("No mark at all".encode("utf-32-le"), "No mark at all"),
        ("Le café du port – fermé à midi".encode("cp1252"), "Le café du port – fermé à midi"),
        ((RUSSIAN * 5).encode("koi8-r"), RUSSIAN * 5),
        ((RUSSIAN * 5).encode("cp1251"), RUSSIAN * 5),
        (
            ("Příliš žluťoučký kůň úpěl ďábelské ódy. " * 8).encode("cp1250"),
            "Příliš žluťoučký kůň úpěl ďábelské ódy. " * 8,
        ),
        (
            "今日は天気がいいですね。会議は三時からです。".encode("shift_jis"),
            "今日は天気がいいですね。会議は三時からです。",
        ),
        ("今天天气很好，我们去公园散步吧。".encode("gb18030"), "今天天气很好，我们去公园散步吧。"),
        (b"\x1b[31mred\x1b[0m\n", "\x1b[31mred\x1b[0m\n"),
    ],
)
def test_decoding(data: bytes, text: str) -> None:
    assert decode_text(data) == text


def test_damaged_utf8_keeps_what_is_valid() -> None:
    data = "Übung für später, naïve Grüße".encode()
    assert decode_text(data[:10] + b"\xff" + data[10:]).count("\ufffd") == 1
    assert decode_text(data + "é".encode()[:1]) == "Übung für später, naïve Grüße\ufffd"


def test_a_declared_encoding_is_believed_only_if_it_fits() -> None:
    data = "Příliš žluťoučký kůň".encode("cp1250")
    assert decode_text(data, "cp1250") == "Příliš žluťoučký kůň"
    assert decode_text("日本".encode(), "ascii") == "日本"
    for unusable in ("no-such-encoding", "rot13", "base64", "undefined", "idna"):
        assert decode_text("Le café fermé".encode("cp1252"), unusable) == "Le café fermé"


def test_stray_nul_bytes_become_spaces_and_keep_offsets() -> None:
    assert decode_text(b"line " * 200 + b"\0" + b"end") == "line " * 200 + " end"


@pytest.mark.parametrize("data", [bytes(range(256)) * 10, b"text" * 20 + bytes(80), bytes(1000), b"\x01\x02\x03" * 50])
def test_binary_content_is_refused(data: bytes) -> None:
    assert looks_binary(data)
    with pytest.raises(UnsupportedFormat, match="binary"):
        decode_text(data)


def test_a_binary_tail_behind_much_text_is_seen() -> None:
    assert looks_binary(b"header line\n" * 10_000 + bytes(range(256)) * 4_000)
