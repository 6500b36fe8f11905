"""Malformed inputs by rule, and the check of what they lead to."""

import contextlib
import copy
import json
import re
import signal
import traceback
from pathlib import Path

from .helpers import ROOT

# An error says what to do.
REMEDY = re.compile(
    r'\b(correct|convert|download|fix|install|load|lower|move|remove|repair|run|set'
    r'|use|write)\b',
    re.IGNORECASE,
)
# Values of all types of json.
VALUES = {
    'null': None,
    'bool': True,
    'int': 5,
    'float': 1.5,
    'nan': float('nan'),
    'text': 'x',
    'list': [],
    'dict': {},
}
MISSING = object()
ID = (int, str)
LIMIT_S = 60


class Command:
    """An object whose pickle creates a file when it is loaded without a check."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


@contextlib.contextmanager
def time_limit():
    """Fail instead of waiting for ever."""

    def stop(*_):
        raise AssertionError('The case does not end.')

    old = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)


def outcome(action, *named):
    """Run an action that reads a malformed input.

    It may work, or end in an error of this project that has a remedy and
    contains all texts of ``named``, such as the name of the file. Return the
    error, or None.
    """
    try:
        with time_limit():
            action()
    except Exception as error:
        last = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        assert last.is_relative_to(ROOT), f'not our error: {error!r} of {last}'
        message = str(error)
        assert REMEDY.search(message), f'no remedy: {message}'
        for text in named:
            assert text in message, f'{text} is not named: {message}'
        return error
    return None


def changed(content, path, value):
    """Copy nested lists and dicts, with another value at a path of keys."""
    content = copy.deepcopy(content)
    *parents, last = path
    part = content
    for key in parents:
        part = part[key]
    if value is MISSING:
        del part[last]
    else:
        part[last] = value
    return content


def wrong_fields(content, path, types):
    """Yield a name and a changed content for each wrong field of an entry.

    ``types`` has the valid types of each field, or of each index of a list.
    """
    for field, expected in types.items():
        yield f'{field} missing', changed(content, [*path, field], MISSING)
        for name, value in VALUES.items():
            if value is True or not isinstance(value, expected):
                yield f'{field} {name}', changed(content, [*path, field], value)
        if path and field == next(iter(types)) and isinstance(field, str):
            for name in ('null', 'int', 'text', 'list'):
                yield f'entry {name}', changed(content, path, VALUES[name])


def as_json(content):
    """Encode a json file."""
    return json.dumps(content).encode()


def as_jsonl(content):
    """Encode a file with one object per line."""
    return b'\n'.join(map(as_json, content))


# Changes of a complete text file. The first ones are valid.
TEXT_FILES = {
    'byte order mark': lambda content: b'\xef\xbb\xbf' + content,
    'spaces': lambda content: b'\n  ' + content + b' \n\n',
    'utf-16': lambda content: content.decode().encode('utf-16'),
    'latin-1': lambda content: content + b'\xe9',
    'empty': lambda content: b'',
    'empty list': lambda content: b'[]',
    'empty dict': lambda content: b'{}',
    'cut': lambda content: content[: len(content) // 2],
    'bytes': lambda content: bytes(range(256)),
    'page': lambda content: b'<!DOCTYPE html><title>404</title>',
    'two': lambda content: content + b'\n]' + content,
    'deep': lambda content: b'[' * 100000,
    'long number': lambda content: b'{"a": ' + b'9' * 5000 + b'}',
    'zeros': lambda content: bytes(1000),
    'number': lambda content: b'5',
    'string': lambda content: b'"text"',
    'null': lambda content: b'null',
    'pickle': lambda content: b'\x80\x04K\x05.',
    'yaml': lambda content: b'questions:\n  - a\n',
}
VALID_TEXT_FILES = ('byte order mark', 'spaces')
