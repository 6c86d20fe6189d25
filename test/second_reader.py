#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A second reader of a cask: its live keys, from MANIFEST and data files alone.

Written from docs/format.md and not from the library, with which it shares no line, so
that the two can be compared: see test_second_reader.py. It reads no hints, takes no lock
and changes nothing.

    second_reader.py [--now MS] DIRECTORY...

prints a line for each live key, in the order of their bytes:

    key in hex, sequence, expiry or 0, size of the value, CRC-32 of the value or "damaged"
"""

import re
import struct
import sys
import time
import zlib
from pathlib import Path

FILE_HEADER = struct.Struct("<8sIIQQQ20sI")
RECORD_HEADER = struct.Struct("<IIQIBBHI")
PUT, TOMBSTONE, BATCH = 1, 2, 3
EXPIRES = 1
VALUE_SIZE_MAX = 1 << 30
SO_MANY_OR_MORE = 0xFFFFFFFF
KIND_AND_FLAGS = re.compile(b"[\1\2\3][\0\1]")
KIND_OFFSET = 20
SECTOR_SIZE = 512
DATA_NAME = re.compile(r"([0-9]{10}|[1-9][0-9]{10,19})\.data")


class Missing(Exception):
    """There is no cask."""


class Damaged(Exception):
    """Something that was synced is not as it was, and nobody knows of which keys."""


class Unsupported(Exception):
    """A newer version, or a feature that this reader does not know."""


NUMBER = "(0|[1-9][0-9]*)"
SALT = "([0-9a-f]{16})"
SEGMENT_LINES = {
    "sealed": rf"sealed {NUMBER} salt {SALT} size {NUMBER} sequences {NUMBER} {NUMBER}"
              rf"(?: purged {NUMBER})?",
    "open": rf"open {NUMBER} salt {SALT} size {NUMBER} last {NUMBER}",
    "prepared": rf"prepared {NUMBER} salt {SALT}",
    "draft": rf"draft {NUMBER} salt {SALT}",
    "retired": rf"retired {NUMBER} salt {SALT}",
    "quarantined": rf"quarantined {NUMBER} salt {SALT}",
}


def read_manifest(text):
    """The last sequence in a sealed segment, and the segments as [word, id, salt...]."""
    version = re.match(rb"bitcask manifest ([0-9]+)\n", text)
    whole = re.fullmatch(rb"(.*\n)check ([0-9a-f]{8})\n", text, re.DOTALL)
    if version and int(version[1]) > 1:
        ours = whole and b"bitcask manifest 1\n" + whole[1][version.end():]
        if ours and zlib.crc32(ours) == int(whole[2], 16):
            raise Damaged("the version in MANIFEST")
        raise Unsupported("a newer MANIFEST")
    if not version or not whole or zlib.crc32(whole[1]) != int(whole[2], 16):
        raise Damaged("MANIFEST fails its check")
    lines = whole[1].decode("ascii").split("\n")[1:-1]
    head = {}
    for word in ("features", "next", "sequence", "keys"):
        match = lines and re.fullmatch(f"{word} {NUMBER}", lines.pop(0))
        if not match:
            raise Damaged(f"MANIFEST has no {word}")
        head[word] = int(match[1])
    if head["features"] != 0:
        raise Unsupported("a feature in MANIFEST")
    segments = []
    for line in lines:
        word = line.split(" ")[0]
        match = re.fullmatch(SEGMENT_LINES.get(word, "nothing"), line)
        if not match:
            raise Damaged(f"MANIFEST has the line '{line}'")
        number, salt, *sizes = match.groups("0")
        segments.append([word, int(number), int(salt, 16), *map(int, sizes)])
    ids = [0, *(segment[1] for segment in segments), head["next"]]
    if any(before >= after for before, after in zip(ids, ids[1:])):
        raise Damaged("ids in MANIFEST are not in order")
    return head["sequence"], segments


def read_header(data):
    """Id and salt of the file that has this header; None: there is no whole one."""
    if len(data) < FILE_HEADER.size:
        return None
    (magic, version, features, segment_id, salt, _, zeros,
     check) = FILE_HEADER.unpack_from(data)
    if magic != b"BITCASKD":
        return None
    if version > 1:
        if check == zlib.crc32(data[:8] + struct.pack("<I", 1) + data[12:60]):
            return None
        raise Unsupported("a newer data file")
    if version != 1 or check != zlib.crc32(data[:60]) or any(zeros):
        return None
    if features:
        raise Unsupported("a feature in a data file")
    return segment_id, salt


class Record:
    """One whose header and key are whole: they can be believed, and make it a witness."""

    @classmethod
    def read(cls, data, offset, limit, salt):
        """The one at @offset, or None. Its value may reach behind @limit."""
        if limit - offset < RECORD_HEADER.size:
            return None
        (key_check, unsynced, sequence, value_check, kind, flags, key_size,
         size) = RECORD_HEADER.unpack_from(data, offset)
        key_at = offset + RECORD_HEADER.size + (8 if flags & EXPIRES else 0)
        value_at = key_at + key_size
        if (kind not in (PUT, TOMBSTONE, BATCH) or flags & ~EXPIRES or sequence == 0
                or (flags and kind != PUT) or (kind == BATCH) != (key_size == 0)
                or (kind == TOMBSTONE and size) or (kind == PUT and size > VALUE_SIZE_MAX)
                or value_at > limit):
            return None
        check = zlib.crc32(data[offset + 16:value_at])
        check = zlib.crc32(data[offset + 4:offset + 16], check)
        if key_check != zlib.crc32(struct.pack("<QQ", salt, offset), check):
            return None
        self = cls()
        self.kind, self.sequence, self.size = kind, sequence, size
        self.key = bytes(data[key_at:value_at])
        self.expiry = struct.unpack_from("<Q", data, key_at - 8)[0] if flags else None
        self.synced = 0 if unsynced == SO_MANY_OR_MORE else sequence - unsynced - 1
        self.end = value_at + size
        self.check = None
        if self.end <= limit and value_check == zlib.crc32(data[value_at:self.end]):
            self.check = value_check
        return self

    def is_whole(self):
        return self.check is not None


def read_parts(data, batch, salt):
    """The puts and tombstones of a batch that is whole."""
    parts = []
    offset = batch.end - batch.size
    while offset < batch.end:
        part = Record.read(data, offset, batch.end, salt)
        if (not part or not part.is_whole() or part.kind == BATCH
                or part.sequence != batch.sequence + len(parts)):
            raise Damaged(f"a part, at {offset}, of a whole batch")
        parts.append(part)
        offset = part.end
    return parts


def read_next(data, offset, limit, salt):
    """
    The next record, as one put or tombstone or the parts of a batch, and where it ends.
    Of a batch all has to be whole, of a single record all but the value; else None.
    """
    record = Record.read(data, offset, limit, salt)
    if not record or record.end > limit:
        return None
    if record.kind == BATCH and not record.is_whole():
        return None
    records = read_parts(data, record, salt) if record.kind == BATCH else [record]
    return records, record.end


def read_sealed(data, segment_id, salt, size, first, last, _purged):
    """All records of a segment that is never written again."""
    if data is None or len(data) < size or read_header(data) != (segment_id, salt):
        raise Damaged(f"sealed {segment_id} is not there, or not whole")
    records = []
    offset = FILE_HEADER.size
    while offset < size:
        step = read_next(data, offset, size, salt)
        if not step:
            raise Damaged(f"sealed {segment_id} at {offset}")
        records += step[0]
        offset = step[1]
    sequences = [record.sequence for record in records] or [0]
    if (min(sequences), max(sequences)) != (first, last):
        raise Damaged(f"sealed {segment_id} has other sequences")
    return records


class Link:
    """A segment of the chain: one that was not sealed."""

    def __init__(self, data, segment_id, salt, size=0, last=0):
        self.data, self.salt, self.size, self.last = data or b"", salt, size, last
        self.segment_id, self.exists = segment_id, data is not None
        self.header = read_header(self.data)
        self.is_ours = self.header == (segment_id, salt)

    def judge_header(self, salts):
        """It has the header of another: was it exchanged, or never written?"""
        other_id, other_salt = self.header
        if other_id == self.segment_id or other_salt in salts:
            raise Damaged(f"{self.segment_id} has been exchanged")
        offset = FILE_HEADER.size
        while step := read_next(self.data, offset, len(self.data), other_salt):
            offset = step[1]
        if (other_salt >> 32 != self.salt >> 32 and offset > SECTOR_SIZE
                and not any(self.data[offset:])):
            raise Damaged(f"{self.segment_id} is of another cask")

    def is_witness(self, offset, sequence, sequence_max):
        """Whether a record from @offset on proves that record @sequence was synced."""
        for match in KIND_AND_FLAGS.finditer(self.data, offset + KIND_OFFSET):
            place = match.start() - KIND_OFFSET
            record = Record.read(self.data, place, len(self.data), self.salt)
            if not record or record.sequence > sequence_max:
                continue
            if record.sequence > sequence and record.synced >= sequence:
                return True
            if record.sequence == sequence and not self.is_ours:
                if place == FILE_HEADER.size:
                    return True
        return False


def read_chain(links, sequence):
    """What follows @sequence without a gap; behind that nothing must be proven."""
    sequence_max = sequence + sum(len(link.data) for link in links)
    records = []

    def is_proven(links, offset):
        proven = False
        for link in links:
            proven = (proven or link.last > sequence
                      or link.is_witness(offset, sequence + 1, sequence_max))
            offset = FILE_HEADER.size
        return proven

    def goes_on(links):
        for link in links:
            if link.is_ours and any(link.data[FILE_HEADER.size:]):
                step = read_next(link.data, FILE_HEADER.size, len(link.data), link.salt)
                return step and step[0][0].sequence == sequence + 1
        return False

    for number, link in enumerate(links):
        is_whole = link.is_ours and len(link.data) >= link.size
        if link.size > FILE_HEADER.size and not is_whole:
            raise Damaged(f"open {link.segment_id} is not there, or not whole")
        if not link.exists:
            continue
        offset = FILE_HEADER.size
        while link.is_ours and offset < len(link.data):
            step = read_next(link.data, offset, len(link.data), link.salt)
            if not step or step[0][0].sequence != sequence + 1:
                break
            is_whole = step[0][0].is_whole()
            if not is_whole and not is_proven(links[number:], offset + 1):
                break
            records += step[0]
            sequence += len(step[0])
            offset = step[1]
        if link.is_ours and offset == len(link.data) or goes_on(links[number + 1:]):
            continue
        if is_proven(links[number:], offset):
            raise Damaged(f"{link.segment_id} at {offset}: {sequence + 1} was synced")
        break
    return records


def read_cask(names, read_file, now):
    """
    {key: record} of what is live at @now, in milliseconds since 1970, in a directory with
    files of these @names. read_file(name) is what one has, None if it is not there.
    """
    ids = {int(match[1]) for match in map(DATA_NAME.fullmatch, names) if match} - {0}
    if "MANIFEST" not in names:
        sizes = [len(read_file(f"{segment_id:010}.data")) for segment_id in ids]
        if any(size > FILE_HEADER.size for size in sizes):
            raise Damaged("MANIFEST is missing")
        raise Missing("no cask")
    sequence, segments = read_manifest(read_file("MANIFEST"))
    if not ids <= {segment[1] for segment in segments}:
        raise Damaged("a data file that MANIFEST does not list")
    records = []
    links = []
    for word, segment_id, *fields in segments:
        if word in ("sealed", "open", "prepared"):
            data = read_file(f"{segment_id:010}.data")
        if word == "sealed":
            records += read_sealed(data, segment_id, *fields)
        elif word in ("open", "prepared"):
            links.append(Link(data, segment_id, *fields))
    salts = {salt for word, _, salt, *_ in segments if word in ("sealed", "open")}
    salts |= {link.salt for link in links if link.exists}
    for link in links:
        if link.header and not link.is_ours:
            link.judge_header(salts)
    newest = {}
    for record in records + read_chain(links, sequence):
        if record.key not in newest or newest[record.key].sequence < record.sequence:
            newest[record.key] = record
    return {key: newest[key] for key in sorted(newest) if newest[key].kind == PUT
            and (newest[key].expiry is None or now < newest[key].expiry)}


def read_directory(directory, now):
    """The same, of a directory."""
    def read_file(name):
        try:
            return (Path(directory) / name).read_bytes()
        except FileNotFoundError:
            return None

    return read_cask([path.name for path in Path(directory).iterdir()], read_file, now)


def main(arguments):
    now = int(time.time() * 1000)
    if arguments[:1] == ["--now"] and len(arguments) > 1:
        now, arguments = int(arguments[1]), arguments[2:]
    if not arguments:
        sys.exit(__doc__)
    result = 0
    for directory in arguments:
        try:
            for key, record in read_directory(directory, now).items():
                check = f"{record.check:08x}" if record.is_whole() else "damaged"
                print(key.hex(), record.sequence, record.expiry or 0, record.size, check)
        except (Missing, Damaged, Unsupported) as problem:
            print(f"{directory}: {type(problem).__name__}: {problem}", file=sys.stderr)
            result = 1
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
