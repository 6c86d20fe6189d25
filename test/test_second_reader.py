#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What second_reader.py finds is what the library finds, key by key.

    test_second_reader.py [--long] [--seed N] [--replay CAMPAIGN WORDS]
                          TOOL GOLDEN CAMPAIGNS

TOOL is the program `bitcask`, GOLDEN the directory of the golden stores, CAMPAIGNS that
of the campaigns, whose disks come through a pipe (test/campaign/export.h). With --replay
only those of one thing that a campaign tried.
"""

import argparse
import base64
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import second_reader

OK, NOT_FOUND, CORRUPT, UNSUPPORTED = 0, -1, -3, -11
STATUS = {second_reader.Missing: NOT_FOUND, second_reader.Damaged: CORRUPT,
          second_reader.Unsupported: UNSUPPORTED}
FAILURES_MAX = 10


class Counts:
    """What was compared, and the failures."""

    def __init__(self):
        self.counts = {}
        self.failures = 0

    def count(self, what, number=1):
        self.counts[what] = self.counts.get(what, 0) + number

    def fail(self, *words):
        print("FAILED:", *words, flush=True)
        self.failures += 1
        if self.failures >= FAILURES_MAX:
            sys.exit("That is enough.")

    def compare(self, what, ours, theirs):
        """Both {key: (sequence, expiry, size, check)}."""
        self.count("keys compared", len(ours))
        if ours != theirs:
            key = min(key for key in ours.keys() | theirs.keys()
                      if ours.get(key) != theirs.get(key))
            self.fail(f"{what}: {key[:40]!r} is {ours.get(key)} to the reader,",
                      f"{theirs.get(key)} to the library")


def found(live):
    return {key: (record.sequence, record.expiry or 0, record.size, record.check)
            for key, record in live.items()}


# STORES OF THE COMMAND LINE

def field(line, name):
    if name + "_base64" in line:
        return base64.b64decode(line[name + "_base64"])
    return line[name].encode()


def dump(tool, directory):
    """What `bitcask dump --live` says is live."""
    output = subprocess.run([tool, "dump", "--live", "--json", directory], check=True,
                            stdout=subprocess.PIPE).stdout
    live = {}
    for line in map(json.loads, output.splitlines()):
        if line["type"] == "record":
            value = field(line, "value")
            live[field(line, "key")] = (line["sequence"], line.get("expiry_ms", 0),
                                        len(value), zlib.crc32(value))
    return live


def compare_directory(counts, tool, directory):
    now = int(time.time() * 1000)
    counts.compare(directory, found(second_reader.read_directory(directory, now)),
                   dump(tool, directory))
    counts.count("directories")


def random_lines(chance, count):
    """For the shell: `set` and `delete` of few keys."""
    for _ in range(count):
        key = f"key{chance.randrange(20)}"
        if chance.randrange(4) == 0:
            yield f"delete {key}\n"
        else:
            yield f"set {key} {'v' * int(10 ** chance.uniform(0, 5))}{chance.random()}\n"


def compare_stores(counts, tool, work, seed, number_of_stores):
    for number in range(number_of_stores):
        chance = random.Random(seed + number)
        directory = str(Path(work) / f"store{number}")
        for _ in range(chance.randrange(1, 5)):
            command = chance.choice([["shell"], ["load"], ["shell", "--no-merge"],
                                     ["merge", "--all"]])
            count = chance.randrange(100)
            if command[0] == "load":
                lines = [f"{i}\tvalue{chance.random()}\n" for i in range(count)]
            else:
                lines = random_lines(chance, count)
            if command[0] != "merge" or os.path.exists(directory):
                subprocess.run([tool, "--dir", directory, *command],
                               check=command[0] != "shell", # which deletes absent keys
                               input="".join(lines).encode(), stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
                compare_directory(counts, tool, directory)
        shutil.rmtree(directory, ignore_errors=True)


# DISKS OF A CAMPAIGN

def line_of(stream):
    return stream.readline().decode("utf-8", "replace").rstrip("\n").split(" ")


def block_of(stream, size):
    block = stream.read(size)
    stream.read(1)
    return block


def read_state(stream):
    """The next disk: words, time, files, and what the library found; None: the end."""
    word, *words = line_of(stream)
    if word != "state":
        return None
    files = {}
    live = {}
    now = status = None
    detail = ""
    while True:
        word, *fields = line_of(stream)
        if word == "now":
            now = int(fields[0])
        elif word == "file":
            files[fields[0]] = block_of(stream, int(fields[1]))
        elif word == "status":
            status, detail = int(fields[0]), " ".join(fields[1:])
        elif word == "key":
            key, sequence, expires, result, size = fields
            value = block_of(stream, int(size))
            live[bytes.fromhex(key)] = (int(sequence), bool(int(expires)), int(result),
                                        zlib.crc32(value))
        elif word == "end":
            return " ".join(words), now, files, status, detail, live
        elif word == "": # the campaign has ended in the middle of it, and will say why
            return None
        else:
            raise ValueError(f"the line '{word} {fields}' of a campaign")


def compare_state(counts, name, state):
    words, now, files, status, detail, theirs = state
    what = f"{name}: {words}"
    try:
        live = second_reader.read_cask(list(files), files.get, now)
    except tuple(STATUS) as problem:
        ours = STATUS[type(problem)]
        if ours == NOT_FOUND and status == OK and not theirs and "for writing" in words:
            ours = OK
        counts.count(f"{name}: {type(problem).__name__} to both")
        if ours != status:
            counts.fail(f"{what}: the reader says {type(problem).__name__}: {problem},",
                        f"the library {status} {detail}")
        return
    if status != OK:
        counts.fail(f"{what}: whole to the reader, to the library {status} {detail}")
        return
    counts.count(f"{name}: read by both")
    counts.compare(what, {key: (record.sequence, record.expiry is not None,
                                OK if record.is_whole() else CORRUPT, record.check or 0)
                          for key, record in live.items()}, theirs)


def compare_campaign(counts, program, *options):
    """Run @program, and read its disks while it goes on."""
    name = Path(program).name
    reading, writing = os.pipe()
    with subprocess.Popen([program, *options, "--export", f"/dev/fd/{writing}"],
                          pass_fds=[writing], stdout=subprocess.PIPE) as campaign:
        os.close(writing)
        with open(reading, "rb", buffering=1 << 20) as stream:
            while (state := read_state(stream)) is not None:
                compare_state(counts, name, state)
        output = campaign.stdout.read().decode()
    if campaign.returncode != 0:
        counts.fail(f"{program} ended with {campaign.returncode}:\n{output}")


def parse(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1000000)
    parser.add_argument("--replay", nargs=2)
    parser.add_argument("tool")
    parser.add_argument("golden")
    parser.add_argument("campaigns")
    return parser.parse_args(arguments)


def main(arguments):
    words = parse(arguments)
    counts = Counts()
    print(f"seed {words.seed}", flush=True)

    def compare(campaign, *options):
        compare_campaign(counts, str(Path(words.campaigns) / f"{campaign}_campaign"),
                         "--seed", str(words.seed), *options)

    if words.replay:
        compare(words.replay[0], "--replay", words.replay[1])
    else:
        for directory in sorted(Path(words.golden).iterdir()):
            compare_directory(counts, words.tool, str(directory))
        with tempfile.TemporaryDirectory() as work:
            compare_stores(counts, words.tool, work, words.seed,
                           200 if words.long else 10)
        for campaign, every in ("crash", 15), ("damage", 150):
            compare(campaign, "--every", str(every // 15 if words.long else every))
    for what, count in sorted(counts.counts.items()):
        print(f"{what}: {count}")
    return 1 if counts.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
