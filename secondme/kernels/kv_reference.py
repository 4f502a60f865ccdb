"""What the cartridge kernels compute, in NumPy: the oracle of their tests, and what runs where they are not built.

Integers are equal bit for bit to native/src/kv. A coded stream is

    varint      length of the escapes in bytes
    lanes x 4   state of each coder, little-endian
    words x 2   what the coders take in, in the order in which they take it
    escapes     bits, lowest first, padded with zeros

It holds *runs* of symbols, each with one table. Symbol i of a run belongs to coder i mod lanes; the coders are those of
range asymmetric numeral systems (Duda 2013) with states of 32 bits that grow by 16 bits at a time, side by side so that
vector instructions serve them together (Giesen 2014). All coders start, in the order of encoding, from one known state,
so that a stream that was damaged does not end there.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondme.kernels import kv_tables as tables

Int8Matrix = NDArray[np.int8]
Int16Matrix = NDArray[np.int16]
UInt8Vector = NDArray[np.uint8]
UInt8Matrix = NDArray[np.uint8]
Float16Array = NDArray[np.float16]
Float32Array = NDArray[np.float32]
Array = NDArray[Any]

LOW_STATE = 1 << 16
SYMBOLS_PER_BYTE = 24576
"""No byte of a stream stands for more symbols than this: a table leaves at least one slot to the escape."""
LOG_UNIT = 1 << 16
SCALE_LOW_BITS = 4

Data = bytes | bytearray | memoryview

Run = tuple[tables.Frequencies, UInt8Vector]


def n_lanes(n_symbols: int) -> int:
    """Coders side by side: few where few symbols would have to pay for their states."""
    if n_symbols < 4096:
        return 4
    if n_symbols < 16384:
        return 8
    return 16 if n_symbols < 65536 else 32


def damaged() -> ValueError:
    return ValueError("the stream is damaged")


class BitWriter:
    """Bits, lowest first."""

    def __init__(self) -> None:
        self._value, self._n_bits, self._out = 0, 0, bytearray()

    def put(self, value: int, n_bits: int) -> None:
        self._value |= value << self._n_bits
        self._n_bits += n_bits
        while self._n_bits >= 8:
            self._out.append(self._value & 255)
            self._value >>= 8
            self._n_bits -= 8

    def put_golomb(self, value: int, order: int) -> None:
        """Exp-Golomb: as many ones as the shifted value has bits more than one, a zero, then those bits."""
        shifted = (value >> order) + 1
        n = shifted.bit_length() - 1
        self.put((1 << n) - 1, n + 1)
        self.put(shifted - (1 << n), n)
        self.put(value & ((1 << order) - 1), order)

    def finish(self) -> bytes:
        return bytes(self._out) + (bytes([self._value]) if self._n_bits else b"")


class BitReader:
    def __init__(self, data: Data) -> None:
        self._value, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, n_bits: int) -> int:
        if n_bits > self._left:
            raise damaged()
        found = self._value & ((1 << n_bits) - 1)
        self._value >>= n_bits
        self._left -= n_bits
        return found

    def take_golomb(self, order: int) -> int:
        n = 0
        while self.take(1):
            n += 1
            if n > 16:
                raise damaged()
        shifted = self.take(n) + (1 << n)
        return (shifted - 1 << order) + self.take(order)

    def finish(self) -> None:
        if self._left >= 8 or self._value:
            raise damaged()


def pack(runs: list[Run], escapes: bytes) -> bytes:
    """A stream of runs; empty where they hold no symbol."""
    n_symbols = sum(len(symbols) for _, symbols in runs)
    if n_symbols == 0:
        return b""
    lanes = n_lanes(n_symbols)
    states = np.full(lanes, LOW_STATE, np.uint64)
    words: list[NDArray[np.uint64]] = []
    for slots, symbols in reversed(runs):
        wide = slots.astype(np.uint64)
        starts = np.cumsum(wide) - wide
        for at in range((len(symbols) - 1) // lanes * lanes, -1, -lanes):
            part = symbols[at : at + lanes]
            x, n, start = states[: len(part)], wide[part], starts[part]
            full = x >= n << np.uint64(20)
            words.append((x[full] & np.uint64(0xFFFF))[::-1])
            x = np.where(full, x >> np.uint64(16), x)
            states[: len(part)] = (x // n << np.uint64(tables.PROB_BITS)) + x % n + start
    taken = np.concatenate(words)[::-1].astype("<u2").tobytes()
    return varint(len(escapes)) + states.astype("<u4").tobytes() + taken + escapes


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


class Stream:
    """The coders of a stream: `run` after run, then `finish`. Raises ValueError for damage."""

    def __init__(self, data: Data, n_symbols: int) -> None:
        self._states = np.zeros(0, np.uint64)
        self._words, self._at, self.escapes = np.zeros(0, np.uint64), 0, BitReader(b"")
        if n_symbols == 0:
            if data:
                raise damaged()
            return
        if n_symbols > SYMBOLS_PER_BYTE * len(data):
            raise damaged()
        n_escapes, at = 0, 0
        while True:
            if at == min(len(data), 5):
                raise damaged()
            n_escapes |= (data[at] & 127) << 7 * at
            at += 1
            if data[at - 1] < 128:
                break
        lanes = n_lanes(n_symbols)
        n_words = len(data) - at - 4 * lanes - n_escapes
        if n_words < 0 or n_words % 2:
            raise damaged()
        self._states = np.frombuffer(data, "<u4", lanes, at).astype(np.uint64)
        self._words = np.frombuffer(data, "<u2", n_words // 2, at + 4 * lanes).astype(np.uint64)
        self.escapes = BitReader(data[len(data) - n_escapes :])

    def run(self, slots: tables.Frequencies, n: int) -> UInt8Vector:
        """The next run's symbols [n]."""
        wide = slots.astype(np.uint64)
        starts = np.cumsum(wide) - wide
        symbol_at = np.repeat(np.arange(len(slots), dtype=np.uint8), slots)
        out = np.empty(n, np.uint8)
        lanes = len(self._states)
        for at in range(0, n, lanes):
            x = self._states[: min(lanes, n - at)]
            slot = x & np.uint64(tables.TOTAL - 1)
            symbols = symbol_at[slot]
            x = wide[symbols] * (x >> np.uint64(tables.PROB_BITS)) + slot - starts[symbols]
            low = x < LOW_STATE
            n_low = int(low.sum())
            if self._at + n_low > len(self._words):
                raise damaged()
            x[low] = x[low] << np.uint64(16) | self._words[self._at : self._at + n_low]
            self._at += n_low
            self._states[: len(x)] = x
            out[at : at + len(x)] = symbols
        return out

    def finish(self) -> None:
        if self._at != len(self._words) or (self._states != LOW_STATE).any():
            raise damaged()
        self.escapes.finish()


@cache
def log_costs() -> NDArray[np.int64]:
    """Cost of a symbol with f slots in 2 ** -16 bits, int64 [4097], by repeated squaring, exact on every machine.

    Without slots it is that of an escape and what follows it, roughly: 24 bits.
    """
    found = np.full(tables.TOTAL + 1, 24 * LOG_UNIT, np.int64)
    for f in range(1, tables.TOTAL + 1):
        whole = f.bit_length() - 1
        x, log = f << (30 - whole), 0
        for _ in range(16):
            x = x * x >> 30
            log = log << 1 | (x >> 31)
            x >>= x >> 31
        found[f] = (tables.PROB_BITS - whole) * LOG_UNIT - log
    return found


_GUESSES = (4, 0, -4, -8)
"""Eighths of an octave from the mean magnitude to `a` of each shape."""


def _eighths(value: int) -> int:
    """floor(8 * log2(value)), value >= 1."""
    whole = value.bit_length() - 1
    mantissa = value << 16 >> whole
    return 8 * whole + sum(mantissa >= step for step in tables.EIGHTHS) - 1


def choose_level_table(levels: Array, centre: int, clipped: bool) -> tuple[int, int]:
    """The table that codes levels (symbols less 128) cheapest, and its cost: downhill from a guess in each shape."""
    counts = np.bincount(levels + 128, minlength=256).astype(np.int64)
    deviation = int(np.abs(levels.astype(np.int64) - centre).sum())
    guess = _eighths(max(1, (deviation << 16) // max(1, len(levels)))) - 16 * 8 + 8
    best = (1 << 62, 0)
    for shape in range(tables.N_SHAPES):

        def cost(scale: int, first: int = shape * tables.N_LEVEL_SCALES) -> int:
            return int(counts @ log_costs()[tables.level_table(first + scale, centre, clipped)])

        at = min(max(guess + _GUESSES[shape], 0), tables.N_LEVEL_SCALES - 1)
        here = cost(at)
        for step in (1, -1):
            while 0 <= at + step < tables.N_LEVEL_SCALES and (there := cost(at + step)) < here:
                at, here = at + step, there
        best = min(best, (here, shape * tables.N_LEVEL_SCALES + at))
    return best[1], best[0]


def _mean(column: Array) -> int:
    """Rounded half up."""
    n = len(column)
    return (2 * int(column.astype(np.int64).sum()) + n) // (2 * n)


def encode_q8(q: Int8Matrix) -> bytes:
    if q.size == 0:
        return b""
    models = [_fit(column) for column in q.T.astype(np.int64)]
    runs, escapes = [], BitWriter()
    for (number, centre, taps), column in zip(models, q.T.astype(np.int64), strict=True):
        slots = _level_slots(number, centre, taps)
        symbols = (residuals(column, centre, taps) if taps else column) + 128
        coded = np.where(slots[symbols] > 0, symbols, tables.LEVEL_ESCAPE)
        for symbol in symbols[coded == tables.LEVEL_ESCAPE].tolist():
            escapes.put(symbol, 8)
        runs.append((slots, coded.astype(np.uint8)))
    numbers, centres, all_taps = zip(*models, strict=True)
    return bytes(numbers) + np.array(centres, np.int8).tobytes() + bytes(all_taps) + pack(runs, escapes.finish())


def decode_q8(data: Data, n: int, channels: int) -> Int8Matrix:
    out = np.empty((n, channels), np.int8)
    if out.size == 0:
        if data:
            raise damaged()
        return out
    if len(data) < 3 * channels:
        raise damaged()
    numbers, centres, taps = np.frombuffer(data, np.uint8, 3 * channels).reshape(3, channels).astype(np.int64)
    centres = (centres + 128) % 256 - 128
    stream = Stream(data[3 * channels :], n * channels)
    for channel in range(channels):
        if centres[channel] == -128:
            raise damaged()
        slots = _level_slots(int(numbers[channel]), int(centres[channel]), int(taps[channel]))
        symbols = stream.run(slots, n)
        for row in np.flatnonzero(symbols == tables.LEVEL_ESCAPE):
            symbols[row] = stream.escapes.take(8)
        out[:, channel] = (symbols.astype(np.int16) - 128).astype(np.int8)
    stream.finish()
    _add_predictions(out, centres, taps)
    return out


def _fit(column: Array) -> tuple[int, int, int]:
    """(table, centre, taps) that code a channel [n] of levels cheapest.

    taps is 0, or says how a level is predicted from the two before it: weights in eighths, 0 .. 15 in the lower half
    of the byte and -8 .. 7 in the upper. Then levels are coded as differences from that, which pays for keys.
    """
    centre = min(max(_mean(column), -127), 127)
    number, plain = choose_level_table(column, centre, True)
    taps = _taps(column - centre)
    if taps:
        other, cost = choose_level_table(residuals(column, centre, taps), 0, False)
        if cost < plain:
            return other, centre, taps
    return number, centre, 0


def _level_slots(number: int, centre: int, taps: int) -> tables.Frequencies:
    return tables.level_table(number, 0, False) if taps else tables.level_table(number, centre, True)


def _taps(x: Array) -> int:
    """The two weights by the equations of Yule and Walker, in whole numbers."""
    r0, r1, r2 = int((x * x).sum()), int((x[1:] * x[:-1]).sum()), int((x[2:] * x[:-2]).sum())
    down = max(0, r0.bit_length() - 26)
    r0, r1, r2 = r0 >> down, r1 >> down, r2 >> down
    det = r0 * r0 - r1 * r1
    if det <= 0:
        return 0
    first = (16 * r1 * (r0 - r2) + det) // (2 * det)
    second = (16 * (r0 * r2 - r1 * r1) + det) // (2 * det)
    return min(max(first, 0), 15) | (min(max(second, -8), 7) & 15) << 4


def _weights(taps: Any) -> tuple[Any, Any]:
    """Of one channel, or of all."""
    return taps & 15, (taps >> 4 ^ 8) - 8


def residuals(column: Array, centre: int, taps: int) -> Array:
    """Levels less what is predicted, modulo 256, -128 .. 127."""
    x = np.concatenate([np.zeros(2, np.int64), column - centre])
    first, second = _weights(taps)
    predicted = np.clip(centre + (first * x[1:-1] + second * x[:-2] + 4 >> 3), -127, 127)
    return np.asarray((column - predicted + 128) % 256 - 128)


def _add_predictions(out: Int8Matrix, centres: Array, taps: Array) -> None:
    first, second = _weights(taps)
    before = last = np.zeros(out.shape[1], np.int64)
    for row in out:
        predicted = np.clip(centres + (first * last + second * before + 4 >> 3), -127, 127)
        level = np.where(taps > 0, (row + predicted + 128) % 256 - 128, row)
        row[:] = level
        before, last = last, level - centres


def encode_scales(scales: Float16Array) -> bytes:
    if scales.size == 0:
        return b""
    centres, numbers, runs, escapes = [], [], [], BitWriter()
    words = np.ascontiguousarray(scales).view(np.uint16)
    low = words.T & ((1 << SCALE_LOW_BITS) - 1)
    for column in (words >> SCALE_LOW_BITS).astype(np.int64).T:
        centre = _mean(column)
        levels = column - centre
        near = np.abs(levels) <= 127
        number, _ = choose_level_table(np.where(near, levels, -128), 0, False)
        slots = tables.level_table(number, 0, False)
        symbols = np.where(near, levels + 128, tables.LEVEL_ESCAPE).astype(np.uint8)
        symbols = np.where(slots[symbols] > 0, symbols, tables.LEVEL_ESCAPE).astype(np.uint8)
        for value in column[symbols == tables.LEVEL_ESCAPE]:
            escapes.put(int(value), 16 - SCALE_LOW_BITS)
        centres.append(centre)
        numbers.append(number)
        runs.append((slots, symbols))
    head = bytes(numbers) + np.array(centres, "<u2").tobytes()
    return head + _nibbles(low.ravel()) + pack(runs, escapes.finish())


def decode_scales(data: Data, n: int, blocks: int) -> Float16Array:
    words = np.empty((n, blocks), np.uint16)
    if words.size == 0:
        if data:
            raise damaged()
        return words.view(np.float16)
    head, n_low = 3 * blocks, (n * blocks + 1) // 2
    if len(data) < head + n_low:
        raise damaged()
    centres = np.frombuffer(data, "<u2", blocks, blocks).astype(np.int64)
    packed = np.frombuffer(data, np.uint8, n_low, head)
    low = np.stack([packed & 15, packed >> 4], axis=1).ravel()
    if low[n * blocks :].any():
        raise damaged()
    stream = Stream(data[head + n_low :], n * blocks)
    most = 0xFFFF >> SCALE_LOW_BITS
    for block in range(blocks):
        symbols = stream.run(tables.level_table(data[block], 0, False), n)
        column = symbols.astype(np.int64) - 128 + centres[block]
        for row in np.flatnonzero(symbols == tables.LEVEL_ESCAPE):
            column[row] = stream.escapes.take(16 - SCALE_LOW_BITS)
        if column.min() < 0 or column.max() > most:
            raise damaged()
        words[:, block] = column << SCALE_LOW_BITS | low[block * n : block * n + n]
    stream.finish()
    return words.view(np.float16)


def _nibbles(low: Array) -> bytes:
    """Two numbers below 16 in a byte, the first in its lower half."""
    even = np.append(low, 0)[: (len(low) + 1) // 2 * 2].reshape(-1, 2)
    return bytes((even[:, 0] | even[:, 1] << 4).astype(np.uint8))


def _runs_of(table_of: UInt8Matrix, classes: UInt8Vector) -> Iterable[tuple[NDArray[np.intp], int, int]]:
    """(rows, component, table) of each run: classes in turn, in each the components that are not always 0."""
    for number, chosen in enumerate(table_of):
        rows = np.flatnonzero(classes == number)
        if len(rows):
            for component in np.flatnonzero(chosen):
                yield rows, int(component), int(chosen[component])


def n_coded(table_of: UInt8Matrix, classes: UInt8Vector) -> int:
    """Symbols in a stream of rows."""
    counts = np.bincount(classes, minlength=len(table_of))
    return int((counts * np.count_nonzero(table_of, axis=1)).sum())


def encode_rows(z: Int16Matrix, table_of: UInt8Matrix, classes: UInt8Vector) -> bytes:
    if (z[table_of[classes] == 0] != 0).any():
        raise ValueError("a coefficient is not 0 where its table says that it always is")
    runs, escapes = [], BitWriter()
    for rows, component, number in _runs_of(table_of, classes):
        values = z[rows, component].astype(np.int64)
        reach, order = tables.coefficient_reach(number), tables.golomb_order(number)
        far = np.abs(values) > reach
        symbols = np.where(far, tables.COEFFICIENT_ESCAPE, values + tables.MOST_COEFFICIENT)
        for value in values[far].tolist():
            escapes.put(int(value < 0), 1)
            escapes.put_golomb(abs(value) - reach - 1, order)
        runs.append((tables.coefficient_table(number), symbols.astype(np.uint8)))
    return pack(runs, escapes.finish())


def decode_rows(data: Data, n: int, table_of: UInt8Matrix, classes: UInt8Vector) -> Int16Matrix:
    out = np.zeros((n, table_of.shape[1]), np.int16)
    stream = Stream(data, n_coded(table_of, classes))
    for rows, component, number in _runs_of(table_of, classes):
        symbols = stream.run(tables.coefficient_table(number), len(rows))
        values = symbols.astype(np.int64) - tables.MOST_COEFFICIENT
        for i in np.flatnonzero(symbols == tables.COEFFICIENT_ESCAPE):
            negative = stream.escapes.take(1)
            magnitude = stream.escapes.take_golomb(tables.golomb_order(number)) + tables.coefficient_reach(number) + 1
            if magnitude > 32767:
                raise damaged()
            values[i] = -magnitude if negative else magnitude
        out[rows, component] = values
    stream.finish()
    return out


def magnitude_costs(most: int) -> Float32Array:
    found = np.full((tables.N_TABLES, most + 1), np.inf, np.float32)
    found[0, 0] = 0
    bits = (log_costs() / LOG_UNIT).astype(np.float32)
    for number in range(1, tables.N_TABLES):
        slots, reach = tables.coefficient_table(number), tables.coefficient_reach(number)
        order = tables.golomb_order(number)
        near = min(reach, most) + 1
        found[number, :near] = bits[slots[tables.MOST_COEFFICIENT : tables.MOST_COEFFICIENT + near]]
        shifted = (np.arange(most + 1 - near) >> order) + 1
        golomb = 2 * np.floor(np.log2(shifted)) + 1 + order
        found[number, near:] = bits[slots[tables.COEFFICIENT_ESCAPE]] + 1 + golomb
    return found


def dequantize(z: Int16Matrix, steps: Float32Array, centroids: Float32Array) -> Float32Array:
    """steps [n]: of each row. centroids [D, m]: of |z| = 1 .. m in steps; beyond, the last one's offset stays."""
    magnitude = np.abs(z.astype(np.int32))
    m = centroids.shape[1]
    inner = np.take_along_axis(centroids, np.clip(magnitude.T - 1, 0, m - 1), axis=1).T
    outer = magnitude.astype(np.float32) + (centroids[:, -1] - np.float32(m))
    value = np.where(magnitude > m, outer, inner) * np.sign(z).astype(np.float32)
    return (value * steps[:, None]).astype(np.float32)


def rotate(x: Float32Array, cos: Float32Array, sin: Float32Array, halves: bool) -> Float32Array:
    """x [n, heads, D]; cos, sin [n or 1, n_dims / 2]. Each product and sum is rounded to float32."""
    out = x.astype(np.float32)
    n_dims = 2 * cos.shape[1]
    first = slice(0, n_dims // 2) if halves else slice(0, n_dims, 2)
    second = slice(n_dims // 2, n_dims) if halves else slice(1, n_dims, 2)
    a, b, c, s = x[..., first], x[..., second], cos[:, None], sin[:, None]
    out[..., first] = a * c - b * s
    out[..., second] = a * s + b * c
    return out


def hadamard(x: Float32Array, size: int) -> Float32Array:
    y = np.ascontiguousarray(x, np.float32).reshape(-1, size)
    step = 1
    while step < size:
        pairs = y.reshape(-1, size // (2 * step), 2, step)
        y = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2)
        step *= 2
    return (y.reshape(x.shape) * np.float32(1 / np.sqrt(size))).astype(np.float32)


def quantize_q8_0(x: Float32Array) -> tuple[Int8Matrix, Float16Array]:
    blocks = np.ascontiguousarray(x, np.float32).reshape(*x.shape[:-1], -1, 32)
    d = np.abs(blocks).max(axis=-1) / np.float32(127)
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.where(d >= np.finfo(np.float32).tiny, np.float32(1) / d, np.float32(0)).astype(np.float32)
        scales = d.astype(np.float16)
    scaled = blocks * inverse[..., None]
    whole = np.trunc(scaled)
    whole += np.where(np.abs(scaled - whole) >= 0.5, np.sign(scaled), 0)
    return np.clip(whole, -127, 127).astype(np.int8).reshape(x.shape), scales


def dequantize_q8_0(q: Int8Matrix, scales: Float16Array) -> Float32Array:
    blocks = q.reshape(*q.shape[:-1], -1, 32).astype(np.float32)
    return np.asarray((blocks * scales.astype(np.float32)[..., None]).reshape(q.shape), np.float32)
