"""Cleaning of texts."""

import pytest

from mmvlfusion.datasets import CleanText


@pytest.mark.parametrize(
    'text, expected',
    [
        ('A black-and-white T-shirt.', 'a black and white t shirt'),
        ("The dog's 'red/blue' ball (#2)!", 'the dogs red blue ball 2'),
        ('<PERSON> -  on a  hill \n', 'person on a hill'),
        ('a ' * 31, ' '.join(['a'] * 30)),
        ('', ''),
    ],
)
def test_texts_are_cleaned_as_in_the_released_code(text, expected):
    """Hyphens and slashes separate words, and 30 words remain."""
    results = CleanText(['one', 'more']).transform(dict(one=text, more=[text, text]))
    assert results == dict(one=expected, more=[expected, expected])


def test_number_of_words():
    assert CleanText('text', max_words=2).clean('One, two, three') == 'one two'
