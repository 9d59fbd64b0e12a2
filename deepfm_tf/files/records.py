"""Where the records of CSV text begin and end, as Arrow's parser sees them."""

from __future__ import annotations

import dataclasses

import numpy as np

from deepfm_tf.arrays import Array

_QUOTE, _BLANK, _NEWLINE, _RETURN = b'" \n\r'
# What is searched first for the state at a place: enough for most records.
WINDOW_BYTES = 2**16
# Line breaks inside quotes that are tried one by one; then all at once.
TRIES = 8
# Blanks before a quote that are passed for all quotes at once.
_BLANKS_AT_ONCE = 64


@dataclasses.dataclass(frozen=True)
class Records:
    """The records of some text: blank lines are none.

    Args:
        starts: where each begins.
        stops: where each ends, its line break left out.
        lines: how many lines stand before each.
    """

    starts: Array
    stops: Array
    lines: Array


@dataclasses.dataclass(frozen=True)
class RecordScanner:
    """Cuts text where the parser will cut it, without parsing it.

    A `"` opens a quoted value only where a value begins; anywhere else
    outside quotes it is a character. Inside, `""` is a quote, and a single
    `"` closes: what follows, up to the separator, belongs to the value.

    A run of quotes is therefore one of three functions of the state before
    it. Of an even number: nothing changes. Of an odd number where a value
    can begin: in becomes out, out becomes in. Of an odd number elsewhere:
    out, whatever was before. From the last run of this third kind on, the
    state is known without reading what precedes; the states of all runs
    are a running sum of the second kind, from the last third one.

    Args:
        separator: str. One character.
        trims: bool. Whether blanks before a value are dropped.
        quoting: bool. Whether `"` may enclose a value.
    """

    separator: str
    trims: bool
    quoting: bool

    def last_end(self, data: bytes) -> int:
        """Behind the last whole record; 0 if there is none.

        Args:
            data: what begins with a record, and may end anywhere.
        """
        for line_break in (b"\n", b"\r"):
            # Behind a "\r" at the end, a "\n" may follow.
            stop = len(data) - (line_break == b"\r")
            for _ in range(TRIES):
                place = data.rfind(line_break, 0, stop)
                if place < 0:
                    break
                stop = self.open_quote(data, place)
                if stop < 0:
                    return place + 1
            else:
                breaks = self._line_breaks(data)
                if len(breaks) and breaks[-1] == len(data) - 1:
                    is_return = data.endswith(b"\r")
                    breaks = breaks[:-1] if is_return else breaks
                return int(breaks[-1]) + 1 if len(breaks) else 0
        return 0

    def first_end(self, data: bytes) -> int:
        """Behind the first whole record and its line break; 0 if none ends."""
        size = WINDOW_BYTES
        while True:
            breaks = self._line_breaks(data[:size])
            if len(breaks):
                end = int(breaks[0]) + 1
                return end + (data[end - 1 : end + 1] == b"\r\n")
            if size >= len(data):
                return 0
            size *= 4

    def open_quote(self, data: bytes, stop: int) -> int:
        """The quote that is open at a place, or -1.

        Args:
            data: what begins with a record.
            stop: int. The place, not behind one of several quotes in a row.
        """
        if not self.quoting:
            return -1
        stop = data.rfind(b'"', 0, stop) + 1
        size = WINDOW_BYTES
        while stop:
            start = max(0, stop - size)
            begins, is_odd, can_open = self._quotes(data, start, stop)
            is_reset = is_odd & ~can_open
            if start == 0 or is_reset.any():
                (changes,) = np.nonzero(is_odd)
                is_inside = self._states(is_odd, can_open)
                if len(is_inside) and is_inside[-1]:
                    return int(begins[changes[-1]])
                return -1
            size *= 4
        return -1

    def records(self, data: bytes) -> Records:
        """All records, the last one whether its line ends or not."""
        places = _line_breaks(data)
        if self._is_plain(data):
            records = _lines_as_records(data, places)
            if np.less(records.starts, records.stops).all():
                return records
        is_outside = ~self._is_inside(data, places)
        breaks = places[is_outside]
        starts = np.concatenate([[0], breaks + 1])
        stops = np.concatenate([breaks, [len(data)]])
        lines = _lines_up_to(data, places)[is_outside]
        lines = np.concatenate([[0], lines])
        lengths = stops - starts
        if self.trims:
            blanks = np.flatnonzero(_bytes(data) == _BLANK)
            lengths = lengths - (
                np.searchsorted(blanks, stops) - np.searchsorted(blanks, starts)
            )
        if lengths.all():
            return Records(starts, stops, lines)
        kept = np.flatnonzero(lengths)
        return Records(starts[kept], stops[kept], lines[kept])

    def without_blanks(self, data: bytes) -> bytes:
        """The text without the blanks before each value."""
        if not self.trims or b" " not in data:
            return data
        view = _bytes(data)
        blanks = np.flatnonzero(view == _BLANK)
        firsts = _run_starts(blanks)
        begins = blanks[firsts]
        before = _byte_before(view, begins)
        at_line = (before == _NEWLINE) | (before == _RETURN)
        if self.separator == " ":
            # The first blank is the separator, but where a line begins.
            is_dropped, spared = np.ones(len(begins), dtype=bool), ~at_line
        else:
            is_dropped = at_line | (before == ord(self.separator))
            spared = np.zeros(len(begins), dtype=bool)
        is_dropped &= ~self._is_inside(data, begins)
        lengths = np.diff(firsts, append=len(blanks))
        mask = np.repeat(is_dropped, lengths)
        mask[firsts[spared]] = False
        is_kept = np.ones(len(data), dtype=bool)
        is_kept[blanks[mask]] = False
        return bytes(view[is_kept].tobytes())

    def backslashes(self, data: bytes) -> Array:
        """The places of quotes that close a value, but follow a backslash.

        Only those with more of the value behind them, as in
        `"a \\"b\\" c"`: there the writer meant `\\"` for a quote.
        """
        # The search for one byte is many times faster than that for two.
        is_absent = b"\\" not in data or b'\\"' not in data
        if not self.quoting or is_absent:
            return np.zeros(0, dtype=np.int64)
        begins, is_odd, can_open = self._quotes(data, 0, len(data))
        is_inside = self._states(is_odd, can_open)
        was_inside = np.concatenate([[False], is_inside[:-1]])
        closes = begins[was_inside & ~is_inside]
        closes = closes[(closes > 0) & (closes + 1 < len(data))]
        view = _bytes(data)
        after = view[closes + 1]
        # Several quotes in a row begin with an escaped one.
        goes_on = ~self._value_edges()[after] & (after != _QUOTE)
        escapes: Array = closes[(view[closes - 1] == ord("\\")) & goes_on]
        return escapes

    def _quotes(
        self, data: bytes, start: int, stop: int
    ) -> tuple[Array, Array, Array]:
        """Each run of quotes: its place, if it is odd, if it can open."""
        view = _bytes(data)
        places = np.flatnonzero(view[start:stop] == _QUOTE) + start
        if not len(places):
            return places, np.zeros(0, dtype=bool), np.zeros(0, dtype=bool)
        firsts = _run_starts(places)
        begins = places[firsts]
        is_odd = (np.diff(firsts, append=len(places)) & 1).astype(bool)
        if start and begins[0] == start and view[start - 1] == _QUOTE:
            begins, is_odd = begins[1:], is_odd[1:]  # it began before
        before = _byte_before(view, begins)
        if self.trims and self.separator != " ":
            before = _byte_before_blanks(view, begins, before)
        return begins, is_odd, self._value_edges()[before]

    def _value_edges(self) -> Array:
        """For each byte, whether a value begins behind it or ends before."""
        is_edge = np.zeros(256, dtype=bool)
        is_edge[[ord(self.separator), _NEWLINE, _RETURN]] = True
        return is_edge

    def _states(self, is_odd: Array, can_open: Array) -> Array:
        """Whether a value is open behind each run of quotes.

        Right behind the first run that closes whatever is open; before it,
        only where nothing is open at the start.
        """
        flips = np.cumsum(is_odd & can_open)
        numbers = np.arange(len(flips))
        is_reset = is_odd & ~can_open
        last = np.maximum.accumulate(np.where(is_reset, numbers, -1))
        since = np.where(last < 0, 0, flips[last] if len(flips) else 0)
        is_open: Array = ((flips - since) & 1).astype(bool)
        return is_open

    def _is_inside(self, data: bytes, places: Array) -> Array:
        """Whether each place is inside quotes."""
        if not self.quoting or b'"' not in data:
            return np.zeros(len(places), dtype=bool)
        begins, is_odd, can_open = self._quotes(data, 0, len(data))
        states = np.concatenate([[False], self._states(is_odd, can_open)])
        return states[np.searchsorted(begins, places)]

    def _is_plain(self, data: bytes) -> bool:
        """Whether each line that is not empty is a record."""
        return not (
            (self.quoting and b'"' in data)
            or (self.trims and b" " in data)
            or b"\r" in data
        )

    def _line_breaks(self, data: bytes) -> Array:
        """The places of "\\n" and "\\r" outside quotes."""
        places = _line_breaks(data)
        return places[~self._is_inside(data, places)]


def _lines_as_records(data: bytes, breaks: Array) -> Records:
    """All lines, the last one whether it ends or not."""
    if not data.endswith(b"\n"):
        breaks = np.append(breaks, len(data))
    starts = np.zeros_like(breaks)
    np.add(breaks[:-1], 1, out=starts[1:])
    return Records(starts, breaks, np.arange(len(breaks)))


def count_lines(data: bytes, stop: int) -> int:
    """The line breaks up to a place: "\\n", "\\r\\n" or "\\r"."""
    count = data.count(b"\n", 0, stop)
    if data.find(b"\r", 0, stop) >= 0:
        count += data.count(b"\r", 0, stop) - data.count(b"\r\n", 0, stop)
    return count


def _line_breaks(data: bytes) -> Array:
    """The places of "\\n" and "\\r"."""
    view = _bytes(data)
    is_break = view == _NEWLINE
    if b"\r" in data:
        is_break |= view == _RETURN
    return np.flatnonzero(is_break)


def _lines_up_to(data: bytes, places: Array) -> Array:
    """How many lines end up to each line break; "\\r\\n" ends one."""
    if b"\r" not in data:
        return np.arange(1, len(places) + 1)
    view = _bytes(data)
    is_pair = np.zeros(len(places), dtype=bool)
    is_pair[:-1] = places[1:] == places[:-1] + 1
    is_pair[:-1] &= view[places[1:]] == _NEWLINE
    is_pair &= view[places] == _RETURN
    return np.cumsum(~is_pair)


def _bytes(data: bytes) -> Array:
    return np.frombuffer(data, dtype=np.uint8)


def _run_starts(places: Array) -> Array:
    """Which of some places do not follow the one before at once."""
    is_first = np.ones(len(places), dtype=bool)
    np.not_equal(places[1:], places[:-1] + 1, out=is_first[1:])
    return np.flatnonzero(is_first)


def _byte_before(view: Array, places: Array) -> Array:
    """What stands before each place; a line break before the first byte."""
    before: Array = view[np.maximum(places - 1, 0)]
    before[places == 0] = _NEWLINE
    return before


def _byte_before_blanks(view: Array, places: Array, before: Array) -> Array:
    """What stands before each place and the blanks before it."""
    places, before = places.copy(), before.copy()
    waiting = np.flatnonzero(before == _BLANK)
    for _ in range(_BLANKS_AT_ONCE):
        places[waiting] -= 1
        before[waiting] = _byte_before(view, places[waiting])
        waiting = waiting[before[waiting] == _BLANK]
        if not len(waiting):
            return before
    for number in waiting:
        stop, size = int(places[number]), _BLANKS_AT_ONCE
        before[number] = _NEWLINE
        while stop:
            start = max(0, stop - size)
            filled = np.flatnonzero(view[start:stop] != _BLANK)
            if len(filled):
                before[number] = view[start + filled[-1]]
                break
            stop, size = start, size * 2
    return before
