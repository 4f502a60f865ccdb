"""A Jinja environment for templates that came with a model file, and so from anybody.

Jinja's own sandbox keeps a template away from Python's internals, but lets it loop and grow without end. Here every
loop, macro call and piece of text costs from a budget, what can grow values is bounded, and only the filters, tests
and methods that chat templates use are left. The budget is counted in steps, so the same template always ends alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from string import Formatter
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

_BUDGET = 400_000
_STEP_COST = 20
_MAX_TEXT = 4_000_000
_MAX_INT_BITS = 256
_MAX_INDENT = 16
_MAX_NODES = 10_000
_MAX_SOURCE = 64 * 1024

_FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "indent", "int", "items",
    "join", "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse",
    "round", "safe", "select", "selectattr", "sort", "string", "sum", "title", "trim", "unique", "upper",
)  # fmt: skip
_METHODS = {
    str: {
        "capitalize", "count", "endswith", "find", "index", "isalnum", "isalpha", "isdigit", "islower", "isspace",
        "isupper", "join", "lower", "lstrip", "removeprefix", "removesuffix", "replace", "rfind", "rsplit", "rstrip",
        "split", "splitlines", "startswith", "strip", "title", "upper",
    },
    dict: {"get", "items", "keys", "values"},
    list: {"count", "index"},
    tuple: {"count", "index"},
}  # fmt: skip


class TemplateAbuse(TemplateError):
    """The template asked for more than any chat template needs."""


class TemplateRefusal(TemplateError):
    """The template called raise_exception."""


class _GenerationTag(Extension):
    """`{% generation %}` marks the answer for training; for chatting it is only its body."""

    tags = {"generation"}  # noqa: RUF012  # so it is declared in Jinja

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatSandbox(ImmutableSandboxedEnvironment):
    """Renders one template at a time; `spend` raises TemplateAbuse when the budget is gone."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self) -> None:
        # Constants are not folded: folding would compute a hostile expression while compiling.
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            finalize=self._finalize,
            extensions=["jinja2.ext.loopcontrols", _GenerationTag],
        )
        self._left = _BUDGET
        self.filters = {name: self._bounded_filter(name, self.filters[name]) for name in _FILTERS}
        self.filters["tojson"] = self._tojson
        self.globals = {
            "dict": dict,
            "namespace": self.globals["namespace"],
            "range": self._range,
            "raise_exception": _raise_exception,
            "strftime_now": _strftime_now,
        }

    def start(self, n_chars: int) -> None:
        """Begin a rendering of contents of `n_chars` characters together: they may be copied a few times."""
        self._left = _BUDGET + 16 * n_chars

    def spend(self, cost: int = _STEP_COST) -> str:
        self._left -= cost
        if self._left < 0:
            raise TemplateAbuse("it does too much work")
        return ""

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if len(source) > _MAX_SOURCE:
            raise TemplateAbuse("it is too long")
        tree = super()._parse(source, name, filename)
        _instrument(tree)
        tree.set_environment(self)
        return tree

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if callable(value):
            allowed = next((names for kind, names in _METHODS.items() if isinstance(obj, kind)), set[str]())
            return attr in allowed
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """`str.format` with plain fields only: Jinja makes it safe to read, but not safe in size."""
        pattern = getattr(value, "__self__", None)
        if not isinstance(pattern, str) or getattr(value, "__name__", "") != "format":
            return None

        def plain_format(*args: Any, **kwargs: Any) -> str:
            for _, field, spec, conversion in Formatter().parse(pattern):
                if spec or conversion or (field and not field.replace("_", "").isalnum()):
                    raise TemplateAbuse("it formats with more than plain fields")
            texts = [self._finalize(arg) for arg in args]
            named = {name: self._finalize(arg) for name, arg in kwargs.items()}
            self.spend(pattern.count("{") * max(map(len, [*texts, *named.values()]), default=0))
            return pattern.format(*texts, **named)

        return plain_format

    def unsafe_undefined(self, obj: Any, attribute: str) -> NoReturn:
        raise TemplateAbuse("it reaches for Python's internals")

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str):
            self._check_growth(getattr(obj, "__name__", ""), owner, args)
        self.spend()
        return self._charged(super().call(context, obj, *args, **kwargs))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or (operator == "%" and isinstance(left, str)):
            raise TemplateAbuse(f"it uses the operator {operator}")
        if operator == "*":
            sized = [value for value in (left, right) if not isinstance(value, int | float)]
            if sized or _bits(left) + _bits(right) > _MAX_INT_BITS:
                raise TemplateAbuse("it multiplies without end")
        return self._charged(super().call_binop(context, operator, left, right))

    def _check_growth(self, method: str, text: str, args: tuple[Any, ...]) -> None:
        """Charge before a text is made that may be much longer than what it is made from."""
        if method == "replace" and len(args) >= 2 and isinstance(args[0], str) and isinstance(args[1], str):
            self.spend(_STEP_COST + len(text) + text.count(args[0]) * len(args[1]))
        elif method == "join" and args:
            self.spend(_STEP_COST + len(text) * _length(args[0]))

    def _bounded_filter(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        passes = getattr(function, "jinja_pass_arg", None)  # some filters get the environment or context first

        def bounded(*args: Any, **kwargs: Any) -> Any:
            first = 0 if passes is None else 1
            if name == "join" and len(args) > first and isinstance(args[first], Iterator):
                args = (*args[:first], list(args[first]), *args[first + 1 :])  # looked at twice
            values = args[first:]
            self.spend(_STEP_COST + 4 * sum(map(_length, values)))
            self._check_filter(name, values, kwargs)
            return self._charged(function(*args, **kwargs))

        if passes is not None:
            bounded.jinja_pass_arg = passes  # type: ignore[attr-defined]  # how Jinja marks such filters
        return bounded

    def _check_filter(self, name: str, values: tuple[Any, ...], named: dict[str, Any]) -> None:
        if name == "replace":
            texts = [*map(str, values), str(named.get("old", "")), str(named.get("new", ""))]
            self.spend(len(texts[0]) + (1 + len(texts[0])) * max(map(len, texts[2:])))
        elif name == "join":
            _check_nodes(values)
            self.spend(_length(values[0]) * max(_length(values[1]) if len(values) > 1 else 0, _length(named.get("d"))))
        elif name == "indent":
            width = named.get("width", values[1] if len(values) > 1 else 4)
            if not isinstance(width, int) or width > _MAX_INDENT:
                raise TemplateAbuse("it indents without end")
        elif name in ("string", "e", "escape"):
            _check_nodes(values)

    def _charged(self, value: Any) -> Any:
        self.spend(_length(value))
        if isinstance(value, int) and _bits(value) > _MAX_INT_BITS:
            raise TemplateAbuse("a number grows without end")
        if isinstance(value, str) and len(value) > _MAX_TEXT:
            raise TemplateAbuse("a text grows without end")
        return value

    def _finalize(self, value: Any) -> str:
        """Every `{{ }}` goes through here; lists and objects are not text, and could be nested without end."""
        if isinstance(value, Undefined) or value is None:
            return str(value)
        if not isinstance(value, str | int | float):
            raise TemplateAbuse("it prints something that is not text")
        return str(self._charged(str(value)))

    def join_texts(self, *values: Any) -> str:
        text = "".join(map(self._finalize, values))
        return str(self._charged(text))

    def _range(self, *args: int) -> range:
        found = range(*args)
        self.spend(len(found))
        return found

    def _tojson(self, value: Any, indent: int | None = None, **_: Any) -> str:
        """Plain JSON, as chat templates expect it; Jinja's own escapes it for HTML."""
        _check_nodes((value,))
        if indent is not None and not 0 <= indent <= _MAX_INDENT:
            raise TemplateAbuse("it indents without end")
        return str(self._charged(json.dumps(value, ensure_ascii=False, indent=indent)))


def _instrument(tree: nodes.Template) -> None:
    """Let every loop and macro body pay for itself, and let joined texts be counted."""
    for body in _bodies(tree):
        cost = _STEP_COST + sum(len(data.data) for node in body for data in node.find_all(nodes.TemplateData))
        call = nodes.Call(nodes.EnvironmentAttribute("spend"), [nodes.Const(cost)], [], None, None)
        body.insert(0, nodes.ExprStmt(call))
    _replace_concat(tree)
    tree.set_lineno(1)


def _bodies(tree: nodes.Template) -> Iterable[list[nodes.Node]]:
    for node in tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock)):
        yield node.body  # type: ignore[attr-defined]  # all three have one


def _replace_concat(node: nodes.Node) -> None:
    for field, value in node.iter_fields():
        if isinstance(value, list):
            for i, item in enumerate(value):
                if isinstance(item, nodes.Node):
                    value[i] = _without_concat(item)
        elif isinstance(value, nodes.Node):
            setattr(node, field, _without_concat(value))


def _without_concat(node: nodes.Node) -> nodes.Node:
    _replace_concat(node)
    if isinstance(node, nodes.Concat):
        return nodes.Call(nodes.EnvironmentAttribute("join_texts"), node.nodes, [], None, None)
    return node


def _raise_exception(_: object = "") -> NoReturn:
    """What templates call for conversations they do not support; the message may quote one, so it is dropped."""
    raise TemplateRefusal("it refuses this order of roles")


def _strftime_now(pattern: str) -> str:
    if len(pattern) > 64:
        raise TemplateAbuse("its date pattern is too long")
    return datetime.now().astimezone().strftime(pattern)


def _bits(value: object) -> int:
    return value.bit_length() if isinstance(value, int) else 0


def _length(value: object) -> int:
    return len(value) if isinstance(value, str | list | tuple | dict | range) else 0


def _check_nodes(values: Iterable[object]) -> None:
    """Refuse containers that hold each other over and over: writing them out would never end."""
    left, stack = _MAX_NODES, list(values)
    while stack:
        value = stack.pop()
        left -= 1
        if left < 0:
            raise TemplateAbuse("it writes out an endless structure")
        if isinstance(value, Mapping):
            stack.extend(value.values())
        elif isinstance(value, list | tuple):
            stack.extend(value)
