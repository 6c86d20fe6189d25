#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Plants one bug at a time in a copy of the library, and sees which test catches it.

The bugs are in bugs/*.toml beside this program. Each is a piece of text that occurs once
in a file of the library, what stands there instead when the bug is planted, and the tests
that should catch it, cheapest first. A bug that none of them catches is tried on all
other unit tests and on the short modes of the campaigns; one that survives these, too, is
a missing test.

    planted.py --check          the list fits the library: every text occurs once
    planted.py --list           the names, and what each bug breaks
    planted.py --some 5         a handful that differs from commit to commit
    planted.py --only NAME      one of them, or several with more --only
    planted.py --share 2/4      the second of four parts of the list
    planted.py                  all of them

Exit status: 0 if all were caught, 1 if one survived, 2 if something else went wrong, 77
if this machine lacks what is needed.
"""

import argparse
import datetime
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

try:
    import tomllib
except ImportError:
    print('skipped: the list is TOML, which Python reads from 3.11 on')
    sys.exit(77)

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

CAMPAIGNS = ['crash', 'fault', 'damage', 'doctor', 'process']
# One seed, so that what caught a bug once does so again.
CAMPAIGN_ARGUMENTS = ['--seed', '1']

# A test that takes so long has caught a bug, by hanging.
UNIT_SECONDS_MAX = 60
CAMPAIGN_SECONDS_MAX = 240
BUILD_SECONDS_MAX = 600
# Of what a program says before it fails, as much is shown.
SAID_LINES_MAX = 40

# What the copy has: the library, its tests, and what both are built with.
COPIED = ['meson.build', 'meson_options.txt', 'bitcask', 'hint', 'test', 'subprojects']


class Fault(Exception):
    """The list, or the machine, is not as it must be: this says nothing of the tests."""

    def __init__(self, sentence, said=None):
        lines = said.splitlines()[-SAID_LINES_MAX:] if said is not None else []
        super().__init__('\n'.join([sentence] + lines))


class Skip(Exception):
    """The machine lacks something."""


def read_bugs():
    bugs = []
    for path in sorted((HERE / 'bugs').glob('*.toml')):
        with path.open('rb') as file:
            bugs += tomllib.load(file)['bug']
    return bugs


def faults_of_list(bugs):
    """Sentences on what is wrong with the list; every file with code must have a bug."""
    names = set()
    for bug in bugs:
        name = bug['name']
        wanted = {'name', 'breaks', 'file', 'old', 'new', 'tests'}
        if wanted - bug.keys() or bug.keys() - wanted - {'sanitizer'}:
            yield f'{name}: the entry has not the words that it must have'
            continue
        if name in names:
            yield f'{name}: there are two of this name'
        names.add(name)
        if not bug['tests'] or bug['old'] == bug['new']:
            yield f'{name}: no test is named, or nothing is changed'
        path = ROOT / bug['file']
        text = path.read_text(encoding='utf-8') if path.exists() else ''
        count = text.count(bug['old'])
        if count != 1:
            yield (f'{name}: the list is out of date: its text occurs {count} times in '
                   f'{bug["file"]}, not once')
        for test in bug['tests']:
            if test in CAMPAIGNS:
                source = ROOT / 'test' / 'campaign' / f'{test}_campaign.c'
            else:
                source = ROOT / 'test' / f'test_{test}.c'
            if not source.exists():
                yield f'{name}: there is no test {test}'
    planted = {bug['file'] for bug in bugs}
    for directory in ['bitcask', 'hint']:
        for path in sorted((ROOT / directory).glob('*.c')):
            if f'{directory}/{path.name}' not in planted:
                yield f'{directory}/{path.name}: no bug is planted in it'


class Stopped(Exception):
    """The user has ended it all."""


class Programs:
    """What is running, so that nothing runs on when we end."""

    def __init__(self):
        self.lock = threading.Lock()
        self.running = set()
        self.stopped = False

    def start(self, command, **arguments):
        with self.lock:
            if self.stopped:
                raise Stopped()
            process = subprocess.Popen(command, start_new_session=True, **arguments)
            self.running.add(process)
            return process

    def end(self, process):
        with self.lock:
            self.running.discard(process)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # and what it has started
        process.wait()

    def stop(self):
        with self.lock:
            self.stopped = True
            processes = list(self.running)
        for process in processes:
            self.end(process)


programs = Programs()


def run(command, directory, environment, seconds_max):
    """Returns the exit status, or None if it took too long, and what was said."""
    with tempfile.TemporaryFile() as output:
        process = programs.start(command, cwd=directory, env=environment,
                                 stdin=subprocess.DEVNULL, stdout=output,
                                 stderr=subprocess.STDOUT)
        try:
            status = process.wait(timeout=seconds_max)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            programs.end(process)
        if programs.stopped:
            raise Stopped()
        output.seek(0)
        return status, output.read().decode('utf-8', 'replace')


class Copy:
    """A copy of the library in a directory of its own, built as it is asked for."""

    def __init__(self, directory, sanitizer, passed):
        self.tree = directory / 'tree'
        self.build = directory / 'build'
        self.sanitizer = sanitizer
        self.passed = passed  # tests that pass without a bug
        self.environment = dict(os.environ, TMPDIR=str(directory / 'room'),
                                MALLOC_PERTURB_='165')
        directory.mkdir()
        (directory / 'room').mkdir()
        (directory / 'room').chmod(0o1777)  # some tests become somebody else
        self.copy_tree()
        self.configure()
        self.find_tests()

    def copy_tree(self):
        self.tree.mkdir()
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.tree / name)
            elif (ROOT / name).exists():
                shutil.copy2(ROOT / name, self.tree / name)

    def configure(self):
        options = ['--buildtype=plain', '-Doptimization=1', '-Dtests=enabled',
                   '-Dtools=disabled']
        if self.sanitizer == 'thread':
            # Newer kernels place memory where ThreadSanitizer does not expect it.
            self.wrapper = ['setarch', os.uname().machine, '-R']
            if subprocess.run(self.wrapper + ['true'], check=False,
                              stderr=subprocess.DEVNULL).returncode != 0:
                self.wrapper = []
            options += ['-Db_sanitize=thread', '-Db_lundef=false']
            self.environment['TSAN_OPTIONS'] = 'halt_on_error=1'
            if shutil.which('clang-14'):
                self.environment['CC'] = 'clang-14'
        else:
            self.wrapper = []
        if not shutil.which('meson') or not shutil.which('ninja'):
            raise Skip('there is no meson, or no ninja')
        status, said = run(['meson', 'setup', self.build, self.tree] + options,
                           self.tree, self.environment, BUILD_SECONDS_MAX)
        if status != 0:
            raise Fault('the copy cannot be configured', said)

    def find_tests(self):
        """Programs that are tests, by the name that the list has for them."""
        status, said = run(['meson', 'introspect', '--tests', self.build], self.tree,
                           self.environment, BUILD_SECONDS_MAX)
        if status != 0:
            raise Fault('meson does not tell its tests', said)
        self.programs = {}
        self.unit_tests = []
        for test in json.loads(said):
            suites = {suite.split(':')[-1] for suite in test['suite']}
            program = pathlib.Path(test['cmd'][0])
            if 'unit' in suites:
                self.unit_tests.append(test['name'])
                self.programs[test['name']] = program
            elif test['name'].endswith('_campaign'):
                self.programs[test['name'].removesuffix('_campaign')] = program
        if not self.unit_tests:
            raise Skip('there are no unit tests: is cmocka there?')

    def make(self, tests):
        """Build @tests. Returns what the compiler said if that fails, else None."""
        targets = [os.path.relpath(self.programs[test], self.build) for test in tests]
        status, said = run(['ninja', '-C', self.build] + targets, self.tree,
                           self.environment, BUILD_SECONDS_MAX)
        return None if status == 0 else said

    def fails(self, test):
        """How @test fails, in a word, or None. Also what it said."""
        command = self.wrapper + [self.programs[test]]
        seconds_max = UNIT_SECONDS_MAX
        if test in CAMPAIGNS:
            command += CAMPAIGN_ARGUMENTS
            seconds_max = CAMPAIGN_SECONDS_MAX
        status, said = run(command, self.build, self.environment, seconds_max)
        if status is None:
            return 'it hung', said
        if status < 0:
            return f'it ended by {signal.Signals(-status).name}', said
        # 77: a machine on which the test cannot be run.
        return (None if status in (0, 77) else 'it failed'), said

    def check_without_bug(self, tests):
        """A test that fails anyway catches nothing."""
        new = [test for test in tests if test not in self.passed]
        said = self.make(new) if new else None
        if said is not None:
            raise Fault('the library does not build without a bug', said)
        for test in new:
            how, said = self.fails(test)
            if how is not None:
                raise Fault(f'{test}: {how} without a bug', said)
            self.passed.add(test)

    def others_than(self, tests):
        """All that is left to try, in groups that are built together."""
        if self.sanitizer is not None:
            return []
        units = [test for test in self.unit_tests if test not in tests]
        campaigns = [[test] for test in CAMPAIGNS
                     if test in self.programs and test not in tests]
        return [units] + campaigns

    def try_group(self, bug, group):
        """With @bug planted: the test of @group that fails, and how; else None twice."""
        path = self.tree / bug['file']
        before = path.read_text(encoding='utf-8')
        path.write_text(before.replace(bug['old'], bug['new']), encoding='utf-8')
        try:
            said = self.make(group)
            if said is not None:
                raise Fault(f'{bug["name"]}: it does not build', said)
            for test in group:
                how, _ = self.fails(test)
                if how is not None:
                    return test, how
        finally:
            path.write_text(before, encoding='utf-8')
        return None, None

    def plant(self, bug):
        """Who catches @bug: the name of the test and how, or None twice; and seconds."""
        for test in bug['tests']:
            if test not in self.programs:
                raise Fault(f'{bug["name"]}: there is no test {test} here')
        self.check_without_bug(bug['tests'])
        groups = [[test] for test in bug['tests']] + self.others_than(bug['tests'])
        seconds = 0
        for group in groups:
            self.check_without_bug(group)
            begin = time.monotonic()
            test, how = self.try_group(bug, group)
            seconds += time.monotonic() - begin
            if test is not None:
                return Result(bug, test, how, seconds)
        return Result(bug, None, None, seconds)


class Result:
    def __init__(self, bug, test, how, seconds):
        self.bug = bug
        self.test = test
        self.how = how
        self.seconds = seconds

    def line(self):
        name = self.bug['name']
        if self.test is None:
            return f'SURVIVED: {name}: {self.bug["breaks"]} ({self.seconds:.1f} s)'
        how = '' if self.how == 'it failed' else f' ({self.how})'
        unexpected = '' if self.test in self.bug['tests'] else ', not named for it'
        return f'{name}: caught by {self.test}{how}{unexpected}, {self.seconds:.1f} s'


class Crew:
    """Threads that take one bug after the other, each with copies of its own."""

    def __init__(self, bugs, directory):
        self.directory = directory
        self.names = [bug['name'] for bug in bugs]
        self.waiting = list(bugs)
        self.lock = threading.Lock()
        self.results = []
        self.faults = []  # what kept a bug from being tried
        self.passed = {}  # by the sanitizer: tests that pass without a bug
        self.skip = None
        self.stop = False

    def take(self):
        with self.lock:
            return self.waiting.pop(0) if self.waiting and not self.stop else None

    def work(self, number):
        copies = {}
        while (bug := self.take()) is not None:
            sanitizer = bug.get('sanitizer')
            try:
                if sanitizer not in copies:
                    place = self.directory / f'{sanitizer or "plain"}-{number}'
                    passed = self.passed.setdefault(sanitizer, set())
                    copies[sanitizer] = Copy(place, sanitizer, passed)
                result = copies[sanitizer].plant(bug)
            except Fault as fault:
                with self.lock:
                    self.faults.append(fault)
                    print(f'FAULT: {fault}', flush=True)
                continue
            except Skip as skip:
                self.skip = skip
                self.stop = True
                return
            except Stopped:
                return
            with self.lock:
                self.results.append(result)
                print(result.line(), flush=True)

    def run(self, count):
        threads = [threading.Thread(target=self.work, args=[i]) for i in range(count)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        finally:
            self.stop = True
            programs.stop()
            for thread in threads:
                thread.join()
        if self.skip is not None:
            raise self.skip
        return sorted(self.results, key=lambda each: self.names.index(each.bug['name']))


def write_table(path, results):
    with open(path, 'w', encoding='utf-8') as file:
        file.write('| bug | breaks | caught by | s |\n|---|---|---|---|\n')
        for result in results:
            bug = result.bug
            test = result.test or '**nobody**'
            file.write(f'| {bug["name"]} (`{bug["file"]}`) | {bug["breaks"]} | {test} | '
                       f'{result.seconds:.1f} |\n')


def seed_of_today():
    """Another one for each commit; without git, for each day."""
    try:
        commit = subprocess.run(['git', '-C', ROOT, 'rev-parse', '--short=12', 'HEAD'],
                                check=True, capture_output=True, text=True)
        return commit.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return datetime.date.today().isoformat()


def choose(bugs, arguments):
    if arguments.only:
        for name in arguments.only:
            if name not in {bug['name'] for bug in bugs}:
                raise Fault(f'there is no bug {name}')
        return [bug for bug in bugs if bug['name'] in arguments.only]
    if arguments.share:
        part, count = (int(number) for number in arguments.share.split('/'))
        if not 1 <= part <= count:
            raise Fault(f'{arguments.share} is no share')
        return bugs[part - 1::count]
    if arguments.some is not None:
        seed = arguments.seed or seed_of_today()
        # A build with a sanitizer takes longer than the handful.
        bugs = [bug for bug in bugs if 'sanitizer' not in bug]
        print(f'{arguments.some} of {len(bugs)} bugs, seed {seed}', flush=True)
        return random.Random(seed).sample(bugs, min(arguments.some, len(bugs)))
    return bugs


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='only look at the list')
    parser.add_argument('--list', action='store_true', help='only tell the list')
    parser.add_argument('--only', metavar='NAME', action='append')
    parser.add_argument('--share', metavar='K/N')
    parser.add_argument('--some', metavar='N', type=int)
    parser.add_argument('--seed', help='of --some; without it, the commit or the date')
    parser.add_argument('--jobs', metavar='N', type=int, default=1,
                        help='bugs at a time, each with a copy of its own')
    parser.add_argument('--markdown', metavar='FILE', help='write a table there')
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    bugs = read_bugs()
    faults = list(faults_of_list(bugs))
    for fault in faults:
        print(f'FAULT: {fault}')
    if faults:
        return 2
    if arguments.check:
        print(f'{len(bugs)} bugs, every text occurs once')
        return 0
    bugs = choose(bugs, arguments)
    if arguments.list:
        for bug in bugs:
            print(f'{bug["name"]} ({bug["file"]}): {bug["breaks"]}')
        return 0

    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix='bitcask-planted.') as directory:
        os.chmod(directory, 0o755)
        crew = Crew(bugs, pathlib.Path(directory))
        results = crew.run(max(1, min(arguments.jobs, len(bugs))))
    if arguments.markdown:
        write_table(arguments.markdown, results)
    survived = sum(result.test is None for result in results)
    print(f'seconds: {time.monotonic() - begin:.1f}')
    if crew.faults:
        print(f'{len(crew.faults)} could not be tried')
    print(f'planted: {len(results) - survived} caught, {survived} survived')
    return 2 if crew.faults else 1 if survived else 0


def stop(number, frame):
    """So that directories are removed, and tests end with us."""
    raise KeyboardInterrupt


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, stop)
    try:
        sys.exit(main())
    except Skip as skip:
        print(f'skipped: {skip}')
        sys.exit(77)
    except Fault as fault:
        print(f'FAULT: {fault}')
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
