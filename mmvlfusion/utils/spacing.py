"""Spaces next to punctuation marks.

WordPiece tokenizers split a text at spaces, at punctuation marks and at Chinese
characters, so the tokens do not show where the text has spaces next to marks.
"""

import unicodedata
from functools import lru_cache
from typing import List, Tuple

from .checks import require

# Marks of the tokenizer of BERT: ASCII symbols and Unicode's punctuation. A
# Chinese character is a token; a word is any other text between spaces.
_TOKEN = r'[\p{P}$+<=>^`|~]|\p{Han}|[^\s\p{P}$+<=>^`|~\p{Han}]+'

# Marks without a space after them, such as that of a price.
_OPENING = '$#<¿¡'
_CLOSING = '>'
# Marks without a space on both sides, as in "black/white".
_JOINING = '/\\@*·•+=^`|~'
_OPENING_CATEGORIES = ('Ps', 'Pi')
_CLOSING_CATEGORIES = ('Pe', 'Pf')
_JOINING_CATEGORIES = ('Pd', 'Pc')

_APOSTROPHES = ("'", '\u2019')
# Ends of words after an apostrophe, as in "it's" and "o'clock".
_WORD_ENDS = ('s', 't', 'm', 'd', 're', 've', 'll', 'am', 'em', 'all', 'clock')
_ONE_LETTER_WORDS = ('a', 'i')
_DOMAINS = ('com', 'org', 'net', 'edu', 'gov')


@lru_cache(maxsize=2**16)
def even_spaces(text: str) -> str:
    """Set the spaces next to marks and Chinese characters by rules.

    The rules are those of English texts: "black, white", "t-shirt", "2.5",
    "5:30", "50%", "$5", "u.s.a.". The result depends only on the words and the
    marks, so texts that differ only in the spaces next to marks get equal. Words
    do not change.

    Args:
        text (str): The text.

    Returns:
        str: The text in Unicode's composed form with single spaces between
        words.
    """
    tokens = require('regex').findall(_TOKEN, unicodedata.normalize('NFC', text))
    sides = [_sides(tokens, place) for place in range(len(tokens))]
    for mark_sides in (_apostrophes(tokens), _double_quotes(tokens)):
        for place, joined in mark_sides:
            sides[place] = joined
    pieces = tokens[:1]
    for place in range(1, len(tokens)):
        if not (sides[place - 1][1] or sides[place][0]):
            pieces.append(' ')
        pieces.append(tokens[place])
    return ''.join(pieces)


def _sides(tokens: List[str], place: int) -> Tuple[bool, bool]:
    """Whether a token has no space on its left and on its right side."""
    mark = tokens[place]
    category = unicodedata.category(mark[0])
    before = tokens[place - 1] if place else ''
    after = tokens[place + 1] if place + 1 < len(tokens) else ''
    between_digits = before[-1:].isdigit() and after[:1].isdigit()
    if mark == '.':
        # "u.s.a.", but "5 p.m. a man"
        following = tokens[place + 2] if place + 2 < len(tokens) else '.'
        starts_phrase = after in _ONE_LETTER_WORDS and following != '.'
        return True, (
            not before
            or between_digits
            or (_is_letter(before) and _is_letter(after) and not starts_phrase)
            or before == 'www'
            or after in _DOMAINS
        )
    if mark == ',':
        return True, between_digits and len(after) == 3 and after.isdigit()
    if mark == ':':
        return True, between_digits
    if mark == '&':
        joined = _is_letter(before) or _is_letter(after)
        return joined, joined
    if mark in _OPENING or category in _OPENING_CATEGORIES:
        return False, True
    if mark in _CLOSING or category in _CLOSING_CATEGORIES:
        return True, False
    if mark in _JOINING or category in _JOINING_CATEGORIES or _is_wide(mark):
        return True, True
    return category == 'Po', False


def _is_letter(token: str) -> bool:
    return len(token) == 1 and token.isalpha()


def _is_wide(token: str) -> bool:
    """Whether a token is a Chinese character, or a mark of Chinese texts."""
    is_mark = unicodedata.category(token[0])[0] == 'P'
    is_han = require('regex').match(r'\p{Han}', token) is not None
    return is_han or (is_mark and unicodedata.east_asian_width(token) in 'WF')


def _apostrophes(tokens: List[str]) -> List[Tuple[int, Tuple[bool, bool]]]:
    """The sides of apostrophes: within words, after words, or as quotation marks."""
    found, quotes = [], []
    for place, token in enumerate(tokens):
        if token not in _APOSTROPHES:
            continue
        after = tokens[place + 1].lower() if place + 1 < len(tokens) else ''
        if after in _WORD_ENDS or (place and _is_letter(tokens[place - 1])):
            found.append((place, (True, True)))
        else:
            quotes.append(place)
    if len(quotes) % 2 == 0:
        return found + _pairs(quotes)
    for place in quotes:
        # "the boys' room"
        is_plural = place > 0 and tokens[place - 1].endswith('s')
        found.append((place, (True, not is_plural)))
    return found


def _double_quotes(tokens: List[str]) -> List[Tuple[int, Tuple[bool, bool]]]:
    """The sides of double quotation marks; one after a number means inches."""
    quotes = [place for place, token in enumerate(tokens) if token == '"']
    if len(quotes) % 2 == 0:
        return _pairs(quotes)
    return [(place, (True, False)) for place in quotes]


def _pairs(places: List[int]) -> List[Tuple[int, Tuple[bool, bool]]]:
    """The sides of quotation marks that open and close in turn."""
    return [
        (place, (number % 2 == 1, number % 2 == 0))
        for number, place in enumerate(places)
    ]
