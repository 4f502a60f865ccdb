"""Languages and text formats by extension, and the cheap patterns that find their top-level definitions.

A pattern finds the line of a definition by its beginning alone; a false hit costs a chunk boundary, never text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = r"(?P<name>[A-Za-z_$][\w$]{0,100})"
_QUALIFIED = r"(?P<name>[A-Za-z_~][\w:~<>.]{0,120})"


@dataclass(frozen=True, slots=True)
class Language:
    """`definitions` match at the start of a line, with groups `name` and, for nesting, `indent`."""

    name: str
    definitions: re.Pattern[str] | None = None
    prose: bool = False


def _lines(*alternatives: str) -> re.Pattern[str]:
    # A name can stand in one group only, so alternatives are numbered apart by the caller.
    return re.compile("|".join(alternatives), re.MULTILINE)


_PYTHON = _lines(rf"^(?P<indent>(?: {{2,4}}|\t)?)(?:async[ \t]+def|def|class)[ \t]+{_NAME}")
_WORDS = (
    r"(?:(?:export|default|declare|public|private|protected|internal|static|abstract|final|sealed|open|data|partial|"
    r"async|unsafe|const|inline|extern|virtual|override|case|pub(?:\([\w:]{1,30}\))?)[ \t]+){0,6}"
)
_KINDS = (
    r"(?:class|struct|interface|enum(?:[ \t]+class)?|trait|impl(?:<[^>\n]{0,80}>)?|fn|func|function\*?|fun|def|module|"
    r"namespace|type|record|object|protocol|extension|mod|union|macro_rules!|contract)"
)
_BRACES = _lines(
    rf"^(?P<indent>(?: {{2,4}}|\t)?){_WORDS}{_KINDS}[ \t]+(?:\([^)\n]{{0,80}}\)[ \t]*)?{_NAME}",
)
_SCRIPT = _lines(
    rf"^(?P<indent>(?: {{2,4}}|\t)?){_WORDS}(?:class|interface|enum|function\*?|namespace|module|type)[ \t]+{_NAME}"
    rf"|^(?:export[ \t]+)?(?:const|let|var)[ \t]+(?P<bound>[A-Za-z_$][\w$]{{0,100}})[ \t]*(?::[^=\n]{{0,120}})?="
    r"[ \t]*(?:async[ \t]*)?(?:function\b|\([^)\n]{0,200}\)[^=\n]{0,80}=>|\w+[ \t]*=>)"
)
# A C function begins in the first column, has parentheses, and its line does not end as a declaration does.
_C = _lines(
    rf"^(?:template[^\n]{{0,120}}>[ \t]*)?(?:typedef[ \t]+)?(?:class|struct|union|enum(?:[ \t]+class)?|namespace)[ \t]+"
    rf"{_NAME}[^;\n]{{0,120}}$"
    rf"|^(?!(?:if|for|while|switch|return|else|do|case|using|typedef|goto)\b)[A-Za-z_][\w \t*&:<>,]{{0,120}}?[ \t*&]"
    rf"(?P<bound>[A-Za-z_~][\w:~]{{0,100}})[ \t]*\([^;\n]{{0,200}}$"
    r"|^#define[ \t]+(?P<macro>\w{1,100})\("
)
_RUBY = _lines(rf"^(?P<indent>(?: {{2}}|\t)?)(?:def|class|module)[ \t]+{_QUALIFIED}")
_SHELL = _lines(rf"^(?:function[ \t]+)?{_NAME}[ \t]*\(\)", r"^function[ \t]+(?P<bound>[\w:-]{1,100})")
_SQL = re.compile(
    r"^create[ \t]+(?:or[ \t]+replace[ \t]+)?(?:temp(?:orary)?[ \t]+|unique[ \t]+|virtual[ \t]+)?"
    r"(?:table|view|function|procedure|trigger|index|type)[ \t]+(?:if[ \t]+not[ \t]+exists[ \t]+)?"
    r"(?P<name>[\w.\"`]{1,100})",
    re.MULTILINE | re.IGNORECASE,
)
_R = _lines(r"^(?P<name>[\w.]{1,100})[ \t]*(?:<-|=)[ \t]*function\b")
_LISP = _lines(r"^\((?:def\w*|define\S*|ns)[ \t]+\(?(?P<name>[^\s()]{1,100})")
_ELIXIR = _lines(r"^(?P<indent>(?: {2}|\t)?)(?:defmodule|defp?|defmacro|defprotocol)[ \t]+(?P<name>[\w.?!]{1,100})")
_PERL = _lines(r"^(?:sub|package)[ \t]+(?P<name>[\w:]{1,100})")
_LUA = _lines(r"^(?:local[ \t]+)?function[ \t]+(?P<name>[\w.:]{1,100})")
_HASKELL = _lines(
    r"^(?:data|newtype|class|instance|type|module)[ \t]+(?P<name>[\w.']{1,100})|^(?P<bound>[a-z_][\w']{0,100})[ \t]*::"
)
_CSS = None
_INI = _lines(r"^\[{1,2}(?P<name>[^\]\n]{1,120})\]{1,2}[ \t]*$")

_TABLE: tuple[tuple[str, re.Pattern[str] | None, str], ...] = (
    ("python", _PYTHON, "py pyi pyw pyx"),
    ("javascript", _SCRIPT, "js mjs cjs jsx"),
    ("typescript", _SCRIPT, "ts tsx mts cts"),
    ("c", _C, "c h"),
    ("cpp", _C, "cc cpp cxx hpp hh hxx cu cuh inl ipp m mm metal"),
    ("java", _BRACES, "java"),
    ("kotlin", _BRACES, "kt kts"),
    ("csharp", _BRACES, "cs"),
    ("go", _BRACES, "go"),
    ("rust", _BRACES, "rs"),
    ("swift", _BRACES, "swift"),
    ("scala", _BRACES, "scala sc"),
    ("php", _BRACES, "php"),
    ("dart", _BRACES, "dart"),
    ("groovy", _BRACES, "groovy gradle"),
    ("zig", _BRACES, "zig"),
    ("solidity", _BRACES, "sol"),
    ("julia", _BRACES, "jl"),
    ("nim", None, "nim"),
    ("ruby", _RUBY, "rb rake gemspec"),
    ("elixir", _ELIXIR, "ex exs"),
    ("shell", _SHELL, "sh bash zsh fish ksh bats"),
    ("powershell", _SHELL, "ps1 psm1"),
    ("batch", None, "bat cmd"),
    ("sql", _SQL, "sql"),
    ("r", _R, "r"),
    ("lisp", _LISP, "lisp cl el scm rkt clj cljs cljc edn"),
    ("haskell", _HASKELL, "hs purs elm"),
    ("ocaml", None, "ml mli fs fsx"),
    ("erlang", None, "erl hrl"),
    ("perl", _PERL, "pl pm"),
    ("lua", _LUA, "lua"),
    ("css", _CSS, "css scss sass less"),
    ("markup", None, "xml xsl xsd svg vue svelte jinja j2 tmpl plist"),
    ("json", None, "json jsonl ndjson json5 geojson"),
    ("yaml", None, "yaml yml"),
    ("toml", _INI, "toml"),
    ("ini", _INI, "ini cfg conf properties desktop service editorconfig"),
    ("csv", None, "csv tsv psv"),
    ("log", None, "log out err"),
    ("build", None, "cmake mk bzl bazel nix tf hcl dockerfile proto thrift graphql gql"),
    ("assembly", None, "s asm v sv vhd vhdl"),
    ("fortran", None, "f f90 f95 for pas vb vbs d ada adb ads cob tcl"),
    ("diff", None, "diff patch"),
    ("subtitles", None, "srt vtt"),
)
BY_EXTENSION: dict[str, Language] = {e: Language(n, p) for n, p, names in _TABLE for e in names.split()}
BY_NAME: dict[str, Language] = {
    name: Language("build")
    for name in ("Makefile", "GNUmakefile", "Dockerfile", "Containerfile", "Jenkinsfile", "BUILD")
} | {name: Language("ruby", _RUBY) for name in ("Rakefile", "Gemfile", "Vagrantfile")}

# Markup for prose with headings of its own, too small for a parser each.
_TEX_LEVELS = {"part": 1, "chapter": 1, "section": 2, "subsection": 3, "subsubsection": 4}
PROSE_HEADINGS: dict[str, tuple[str, re.Pattern[str]]] = {
    "tex": (
        "x-tex",
        re.compile(
            r"^[ \t]*\\(?P<mark>part|chapter|section|subsection|subsubsection)\*?\{(?P<name>[^}\n]{1,200})\}", re.M
        ),
    ),
    "org": ("x-org", re.compile(r"^(?P<mark>\*{1,6})[ \t]+(?P<name>[^\n]{1,200})$", re.M)),
    "adoc": ("x-asciidoc", re.compile(r"^(?P<mark>={1,6})[ \t]+(?P<name>[^\n]{1,200})$", re.M)),
    "wiki": ("x-mediawiki", re.compile(r"^(?P<mark>={1,6})[ \t]*(?P<name>[^=\n]{1,200}?)[ \t]*=+[ \t]*$", re.M)),
}
PROSE_HEADINGS["asciidoc"] = PROSE_HEADINGS["adoc"]
PROSE_HEADINGS["mediawiki"] = PROSE_HEADINGS["wiki"]


def heading_level(mark: str) -> int:
    """Level of a heading by its mark: a LaTeX command, or as many levels as characters."""
    return _TEX_LEVELS.get(mark, len(mark))
