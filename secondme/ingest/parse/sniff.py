"""Tells the kind of a file: content first where it has a signature, its name for the many kinds of text.

Signatures: the formats' own specifications and the file(1) magic database, in own words.
"""

from __future__ import annotations

import re
import zipfile
from io import BytesIO
from pathlib import Path

from secondme.ingest import reasons
from secondme.ingest.parse.languages import BY_EXTENSION, BY_NAME

_MEDIA_EXTENSIONS = {
    "image": "png jpg jpeg gif bmp tif tiff webp ico icns heic heif avif psd xcf raw cr2 nef dng jxl tga exr",
    "audio": "mp3 flac wav ogg oga opus m4a aac wma aiff aif mid midi",
    "video": "mp4 mkv mov avi webm wmv flv m4v mpg mpeg 3gp",
    "archive": "zip tar gz tgz bz2 tbz xz txz zst 7z rar lz4 lzma jar war apk ipa whl egg deb rpm crx xpi cab",
    "program": "exe dll so dylib a o obj lib pyc pyo pyd class wasm elf msi app node ko beam",
    "model": "gguf ggml safetensors pt pth onnx tflite npy npz h5 hdf5 keras ckpt mlmodel joblib pkl pickle",
    "database": "db sqlite sqlite3 mdb accdb dbf parquet feather arrow orc avro rdb ldb kdbx",
    "font": "ttf otf woff woff2 eot pfb",
    "disk": "iso img dmg vmdk qcow2 vdi vhd vhdx",
    "key": "p12 pfx jks keystore gpg pgp",
    "data": "bin blend fbx glb stl dwg skp mo gmo swf torrent",
}
_MEDIA_BY_EXTENSION = {e: kind for kind, names in _MEDIA_EXTENSIONS.items() for e in names.split()}

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF87a", "image"),
    (b"GIF89a", "image"),
    (b"\x7fELF", "program"),
    (b"\xfe\xed\xfa\xce", "program"),
    (b"\xfe\xed\xfa\xcf", "program"),
    (b"\xcf\xfa\xed\xfe", "program"),
    (b"\xca\xfe\xba\xbe", "program"),
    (b"\0asm", "program"),
    (b"GGUF", "model"),
    (b"SQLite format 3\0", "database"),
    (b"\x1f\x8b", "archive"),
    (b"BZh", "archive"),
    (b"\xfd7zXZ\0", "archive"),
    (b"7z\xbc\xaf\x27\x1c", "archive"),
    (b"\x28\xb5\x2f\xfd", "archive"),
    (b"Rar!\x1a\x07", "archive"),
    (b"OggS", "audio"),
    (b"ID3", "audio"),
    (b"fLaC", "audio"),
    (b"\x1a\x45\xdf\xa3", "video"),
    (b"wOFF", "font"),
    (b"wOF2", "font"),
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# Office lists the streams of an encrypted document under these names (MS-OFFCRYPTO 2.3).
_OLE_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_HTML = re.compile(
    rb"\A(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b", re.I | re.S
)
_HTML_EXTENSIONS = {"html", "htm", "xhtml"}
_MAX_ZIP_ENTRIES = 20_000


def extension(path: Path) -> str:
    """The lower-case extension without its dot; empty if there is none."""
    return path.suffix[1:].lower()


def media_reason(path: Path) -> str | None:
    """Why a file is left out by its name alone, before it is opened; None if it has to be looked at."""
    kind = _MEDIA_BY_EXTENSION.get(extension(path))
    return reasons.MEDIA[kind] if kind else None


def sniff(path: Path, data: bytes) -> str:
    """Return the kind: "pdf", "docx", "epub", "html", "notebook", "markdown", "rst", "source" or "text".

    Raises UnsupportedFormat with the reason for everything else, ParseFailed for what is encrypted or damaged.
    """
    if b"%PDF-" in data[:1024]:
        return "pdf"
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_kind(data)
    if data.startswith(_OLE):
        raise (
            reasons.failed(reasons.NEEDS_PASSWORD)
            if _OLE_ENCRYPTED in data
            else reasons.unsupported(reasons.OLD_OFFICE)
        )
    if data.startswith(b"-----BEGIN ") and b"PRIVATE KEY-----" in data[:100]:
        raise reasons.unsupported(reasons.PRIVATE_KEY)
    if data.startswith(b"{\\rtf"):
        raise reasons.unsupported(reasons.RICH_TEXT)
    for magic, kind in _MAGIC:
        # The shorter signatures are words that a text may begin with; text has no control bytes.
        if data.startswith(magic) and (b"\0" in data[:4096] or not magic.isascii()):
            raise reasons.unsupported(reasons.MEDIA[kind])
    return _text_kind(path, data)


def _text_kind(path: Path, data: bytes) -> str:
    name = extension(path)
    if name in ("pdf", "docx", "epub"):
        raise reasons.failed(reasons.DAMAGED)
    if name in _HTML_EXTENSIONS or _HTML.match(data[:4096]):
        return "html"
    if name == "ipynb":
        return "notebook"
    if name in ("md", "markdown", "mdown", "mkd", "mdx", "qmd", "rmd"):
        return "markdown"
    if name in ("rst", "rest"):
        return "rst"
    return "source" if name in BY_EXTENSION or path.name in BY_NAME else "text"


def _zip_kind(data: bytes) -> str:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            names = archive.namelist()
            mimetype = archive.open("mimetype").read(100) if "mimetype" in names[:_MAX_ZIP_ENTRIES] else b""
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, ValueError, EOFError) as error:
        raise reasons.failed(reasons.DAMAGED) from error
    if "word/document.xml" in names:
        return "docx"
    if mimetype.startswith(b"application/epub+zip"):
        return "epub"
    if "[Content_Types].xml" in names or mimetype.startswith(b"application/vnd.oasis"):
        raise reasons.unsupported(reasons.OTHER_OFFICE)
    raise reasons.unsupported(reasons.MEDIA["archive"])
