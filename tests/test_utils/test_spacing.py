"""Spaces next to punctuation marks."""

import json
import random

import pytest

from mmvlfusion.utils.spacing import even_spaces

# Texts as data write them.
TEXTS = [
    't-shirt',
    'off-white',
    '2.5',
    '1,000',
    '5:30',
    '5:30 p.m.',
    '50%',
    '$5',
    '$5.50',
    '#23',
    'u.s.a.',
    'u.s. army',
    'at 5 p.m. a man',
    "m&m's",
    'a man... with a 5-year-old',
    'washington d.c.',
    '12 1/2',
    'user@mail.com',
    "o'clock",
    "5 o'clock",
    "don't know",
    "woman's",
    "the boys' room",
    "it says 'stop' here",
    'a sign "no parking" here',
    'black/white',
    'black, white, brown',
    'black & white',
    'b&w',
    'at&t',
    'st. louis',
    'www.cnn.com',
    'left (of it)',
    'yes, it is. no!',
    'who? me?!',
    'café',
    'à gauche',
    "l'église",
    '19" tv',
    '<person> runs',
    '红色的星',
    '赤い星',
    '左、右',
    '3只猫',
    '빨간 별',
    'लाल तारा',
    '',
]


@pytest.mark.parametrize('text', TEXTS)
def test_spaces_are_restored(text):
    """A text comes back from its words and marks, with or without spaces."""
    assert even_spaces(text) == text
    spaced = ''.join(
        f' {letter} ' if not (letter.isalnum() or letter.isspace()) else letter
        for letter in text
        if text.isascii()
    )
    assert even_spaces(spaced or text) == text


def test_only_spaces_change():
    """Words stay apart, and a second pass changes nothing."""
    generator = random.Random(0)
    for _ in range(2000):
        text = ''.join(generator.choices('ab1 .,:-\'"$%&(赤い猫、¿é', k=12))
        even = even_spaces(text)
        assert even.replace(' ', '') == text.replace(' ', '')
        assert even_spaces(even) == even


def test_answers_of_daquar_do_not_change(real_data):
    folder = real_data / 'daquar/annotations'
    answers = {
        entry['multiple_choice_answer']
        for path in folder.glob('annotations_*.json')
        for entry in json.loads(path.read_text())['annotations']
    }
    assert len(answers) > 1000
    assert [text for text in answers if even_spaces(text) != text] == []
