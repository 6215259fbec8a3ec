"""A lint: what a row's sums are made of, and in which order, may not depend on how many rows there are.

Launches over several numbers of rows show what changes with them: template values, shapes, threads, threadgroups. From
these the lint follows every number that is computed of them through a kernel's text, as libclang reads it, and
complains where such a number decides over which terms a floating sum runs, or in which order.

A largest value is the same in any order, and a loop over rows that leaves each its own sum is no reduction.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import clang.cindex
import mlx.core as mx
from clang.cindex import Cursor, CursorKind, TypeKind

from mlx_spec.machine.kernels.metal import MetalKernel
from tests.machine.kernels.emulator.launches import Emulator
from tests.machine.kernels.emulator.source import Traced
from tests.machine.kernels.test_address_spaces import plain_text

_LOOPS = (CursorKind.FOR_STMT, CursorKind.WHILE_STMT, CursorKind.DO_STMT)
_FUNCTIONS = (CursorKind.FUNCTION_TEMPLATE, CursorKind.FUNCTION_DECL)
_FLOATS = (TypeKind.FLOAT, TypeKind.HALF, TypeKind.DEPENDENT)
_ORDERLESS = ("max", "min")
_SHARED = ("simd_sum", "simd_shuffle", "simd_shuffle_down", "simd_shuffle_xor", "simd_prefix_exclusive_sum")


@dataclass(slots=True)
class Recorder(Emulator):
    """Runs nothing, and remembers each launch."""

    runs: bool = False
    launches: list["Launch"] = field(default_factory=list)

    def launch(self, kernel: MetalKernel, arrays: Sequence[mx.array], how: dict[str, Any]) -> list[mx.array]:
        """See `Emulator`."""
        found = super(Recorder, self).launch(kernel, arrays, how)
        self.launches.append(Launch(kernel, self.traced[-1], _facts(kernel, arrays, how)))
        return found


@dataclass(frozen=True, slots=True)
class Launch:
    """What was launched, and the numbers that the text can ask for, by the words that it asks with."""

    kernel: MetalKernel
    traced: Traced
    facts: dict[str, Any]


def _facts(kernel: MetalKernel, arrays: Sequence[mx.array], how: dict[str, Any]) -> dict[str, Any]:
    shapes = zip(kernel.inputs, arrays, strict=True)
    facts = {f"{name}_shape[{at}]": size for name, array in shapes for at, size in enumerate(array.shape)}
    facts |= dict(how["template"])
    facts |= {f"threadgroups_per_grid.{axis}": n for axis, n in zip("xy", how["groups"], strict=True)}
    return facts | {"threads_per_threadgroup.x": how["threads"]}


def varying(launches: Sequence[Launch]) -> frozenset[str]:
    """By what name a kernel that was launched over several numbers of rows sees their number."""
    names = set(chain.from_iterable(launch.facts for launch in launches))
    return frozenset(name for name in names if len({str(launch.facts.get(name)) for launch in launches}) > 1)


def complaints(launch: Launch, by_rows: frozenset[str]) -> list[str]:
    """The sums of a launched kernel whose terms or order `by_rows` decides."""
    index = clang.cindex.Index.create()
    text = plain_text(launch.traced)
    parsed = index.parse("kernel.cpp", args=["-std=c++17", "-nostdinc"], unsaved_files=[("kernel.cpp", text)])
    functions = {c.spelling: c for c in parsed.cursor.get_children() if c.kind in _FUNCTIONS and _body(c) is not None}
    lint = _Lint(functions, by_rows)
    lint.function(functions[launch.traced.name], frozenset())
    return sorted(lint.found)


class _Lint:
    def __init__(self, functions: dict[str, Cursor], by_rows: frozenset[str]) -> None:
        self._functions, self._by_rows = functions, by_rows
        self._seen: set[tuple[str, frozenset[str]]] = set()
        self.found: set[str] = set()

    def function(self, cursor: Cursor, parameters: frozenset[str]) -> None:
        """Look at a function of whose parameters some depend on the number of rows."""
        if (cursor.spelling, parameters) in self._seen:
            return
        self._seen.add((cursor.spelling, parameters))
        body = _body(cursor)
        assert body is not None
        _Body(self, re.sub(r"^custom_kernel_|__.*$", "", cursor.spelling), set(parameters)).visit(body, ())

    def call(self, name: str, depends: Sequence[bool]) -> None:
        """Follow a call into a function of the headers."""
        if (called := self._functions.get(name)) is not None:
            names = [c.spelling for c in called.get_children() if c.kind == CursorKind.PARM_DECL]
            self.function(called, frozenset(n for n, is_one in zip(names, depends, strict=False) if is_one))

    @property
    def by_rows(self) -> frozenset[str]:
        return self._by_rows


@dataclass(frozen=True, slots=True)
class _Around:
    """A loop or a condition around a statement: whether the number of rows decides it, where it stands, and what it
    counts with."""

    depends: bool
    begin: int
    end: int
    counts: frozenset[str]
    is_loop: bool


class _Body:
    """One function's text, with the names in it that depend on the number of rows."""

    def __init__(self, lint: _Lint, name: str, names: set[str]) -> None:
        self._lint, self._name, self._names = lint, name, names

    def visit(self, cursor: Cursor, around: tuple[_Around, ...]) -> None:
        children = list(cursor.get_children())
        if cursor.kind in _LOOPS or cursor.kind == CursorKind.IF_STMT:
            is_loop = cursor.kind in _LOOPS
            header = children[:-1] if is_loop else children[:1]
            for part in header:
                self.visit(part, around)
            counts = frozenset(c.spelling for part in header for c in _under(part) if c.kind == CursorKind.VAR_DECL)
            extent = cursor.extent.start.offset, cursor.extent.end.offset
            inside = _Around(any(map(self._depends, header)), *extent, counts, is_loop)
            for part in children[len(header) :]:
                self.visit(part, (*around, inside))
            return
        for child in children:
            self.visit(child, around)
        if cursor.kind == CursorKind.VAR_DECL and any(self._depends(child) for child in children):
            self._names.add(cursor.spelling)
        elif cursor.kind == CursorKind.CALL_EXPR and children:
            self._call(_called(cursor), children[1:])
        elif _operator(cursor) is not None:
            self._assigned(cursor, *children, around)

    def _call(self, name: str, arguments: Sequence[Cursor]) -> None:
        self._lint.call(name, [self._depends(one) for one in arguments])
        conditions = [
            next(iter(one.get_children()))
            for argument in arguments
            for one in _under(argument)
            if one.kind == CursorKind.CONDITIONAL_OPERATOR
        ]
        if name in _SHARED and any(map(self._depends, conditions)):
            self._lint.found.add(f"{self._name}: {name}")

    def _assigned(self, cursor: Cursor, target: Cursor, value: Cursor, around: tuple[_Around, ...]) -> None:
        base = next((c for c in _under(target) if c.kind == CursorKind.DECL_REF_EXPR), None)
        if base is None:
            return
        if target.type.get_canonical().kind not in _FLOATS:
            if self._depends(value):
                self._names.add(base.spelling)
            return
        adds = _operator(cursor) != "=" or base.spelling in _names_in(value)
        if not adds or (value.kind == CursorKind.CALL_EXPR and _called(value) in _ORDERLESS):
            return
        declared = base.referenced.location.offset if base.referenced is not None else -1
        its_own = {
            name for one in _under(target) if one.kind == CursorKind.ARRAY_SUBSCRIPT_EXPR for name in _index(one)
        }
        loops = [at for at, one in enumerate(around) if one.is_loop and not one.begin <= declared < one.end]
        loops = [at for at in loops if not around[at].counts & its_own]
        inside = [at for at, one in enumerate(around) if loops and at >= loops[0] and (at in loops or not one.is_loop)]
        if any(around[at].depends for at in inside):
            self._lint.found.add(f"{self._name}: {base.spelling}")

    def _depends(self, cursor: Cursor) -> bool:
        """Whether what an expression says depends on the number of rows. What stands in memory does not, wherever it is
        looked up."""
        children = list(cursor.get_children())
        if cursor.kind == CursorKind.ARRAY_SUBSCRIPT_EXPR:
            return _words(cursor) in self._lint.by_rows
        if cursor.kind == CursorKind.MEMBER_REF_EXPR and _words(cursor) in self._lint.by_rows:
            return True
        if cursor.kind == CursorKind.DECL_REF_EXPR:
            return cursor.spelling in self._names or cursor.spelling in self._lint.by_rows
        return any(map(self._depends, children))


def _operator(cursor: Cursor) -> str | None:
    """Of an assignment how it assigns."""
    if cursor.kind not in (CursorKind.BINARY_OPERATOR, CursorKind.COMPOUND_ASSIGNMENT_OPERATOR):
        return None
    target, _ = cursor.get_children()
    behind = target.extent.end.offset
    found = next((t.spelling for t in cursor.get_tokens() if t.extent.start.offset >= behind), "")
    return found if re.fullmatch(r"[-+*/]?=", found) else None


def _called(cursor: Cursor) -> str:
    return cursor.spelling or next((token.spelling for token in cursor.get_tokens()), "")


def _index(cursor: Cursor) -> set[str]:
    _, index = cursor.get_children()
    return _names_in(index)


def _names_in(cursor: Cursor) -> set[str]:
    return {c.spelling for c in _under(cursor) if c.kind == CursorKind.DECL_REF_EXPR}


def _under(cursor: Cursor) -> Iterator[Cursor]:
    found: Iterator[Cursor] = cursor.walk_preorder()
    return found


def _words(cursor: Cursor) -> str:
    return "".join(token.spelling for token in cursor.get_tokens())


def _body(cursor: Cursor) -> Cursor | None:
    return next((child for child in cursor.get_children() if child.kind == CursorKind.COMPOUND_STMT), None)
