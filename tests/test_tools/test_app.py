"""The page: its checks and results without gradio, and the page in a browser."""

import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmvlfusion.apis.build import build_model
from mmvlfusion.apis.inference import Predictor

from ..helpers import ROOT, load_tool

app = load_tool('app.py')
WAIT = 120  # Seconds.


@pytest.fixture(scope='module')
def classifier():
    cfg = Config.fromfile(ROOT / 'configs/demo/classification.py')
    return Predictor(cfg, build_model(cfg), device='cpu')


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'image.png'
    Image.fromarray(np.full((40, 32, 3), (250, 10, 20), np.uint8)).save(path)
    return str(path)


def save(path, mode, size, **kwargs):
    Image.new(mode, size).save(path, **kwargs)
    return str(path)


def test_images_are_read_in_the_order_of_the_hosts(image):
    assert app.load_image(image)[0, 0].tolist() == [20, 10, 250]


@pytest.mark.parametrize('mode', ['L', 'RGBA', 'P', '1'])
def test_other_modes_are_converted(mode, tmp_path):
    path = save(tmp_path / 'image.png', mode, (8, 6))
    assert app.load_image(path).shape == (6, 8, 3)


def test_bad_images_are_named(tmp_path, image):
    (tmp_path / 'text.png').write_text('not an image')
    content = (tmp_path / 'image.png').read_bytes()
    (tmp_path / 'cut.png').write_bytes(content[:60])
    save(tmp_path / 'animation.gif', 'P', (8, 8))
    save(tmp_path / 'large.png', '1', (5000, 10))
    (tmp_path / 'heavy.png').write_bytes(content + bytes(10_000_001))
    for name, message in (
        ('text.png', 'text.png is not a complete image'),
        ('cut.png', 'cut.png is not a complete image'),
        ('animation.gif', 'choose a file of JPEG, PNG, WEBP, BMP'),
        ('heavy.png', 'heavy.png has 10.0 MB, but may have 10'),
        ('large.png', '5000 x 10 pixels, but a side may have 4096'),
    ):
        with pytest.raises(ValueError, match=message):
            app.load_image(str(tmp_path / name))
    with pytest.raises(ValueError, match='There is no image: choose one'):
        app.load_image(None)


def test_folder_of_a_retrieval(tmp_path, image):
    images, names = app.load_folder(str(tmp_path))
    assert names == ['image.png'] and images[0].shape == (40, 32, 3)
    for folder in (None, str(tmp_path / 'none')):
        with pytest.raises(ValueError, match='retrieval needs a folder of images'):
            app.load_folder(folder)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='has 0 images, expected 1 ... 2000'):
        app.load_folder(str(tmp_path / 'empty'))


def test_two_models_answer_side_by_side(classifier, image):
    shown = app.App([classifier, classifier]).answer(image, None, 0.5)
    assert len(shown) == 2
    first = shown[0]
    assert len(first.rows) == 5 and all(len(row) == 2 for row in first.rows)
    assert first.pictures[0][0].shape == (40, 32, 3) and first.attention == []
    assert ' ms** on cpu, 0.88 M parameters' in first.summary


def test_other_input_is_refused(classifier, image):
    with pytest.raises(ValueError, match='501 characters, but may have 500'):
        app.App([classifier]).answer(image, 'x' * 501, 0.5)
    other = SimpleNamespace(task='vqa')
    with pytest.raises(ValueError, match='compare two models of one task'):
        app.App([classifier, other])


def test_missing_gradio_is_named(monkeypatch, classifier):
    monkeypatch.setitem(sys.modules, 'gradio', None)
    with pytest.raises(ImportError, match=r'mmvlfusion\[app\]'):
        app.build_page(app.App([classifier]), ['a'])


@pytest.mark.e2e
def test_page_in_a_browser(classifier, image, tmp_path):
    """Upload an image, read the results, then give a file that is not an image."""
    pytest.importorskip('gradio')
    webdriver = pytest.importorskip('selenium.webdriver')
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    paths = [shutil.which(name) for name in ('chromium', 'chromedriver')]
    if None in paths:
        pytest.skip('no chromium or chromedriver')
    page = app.build_page(app.App([classifier, classifier]), ['dense', 'low-rank'])
    _, url, share_url = page.launch(
        server_name='127.0.0.1', share=False, prevent_thread_lock=True, quiet=True
    )
    assert share_url is None and url.startswith('http://127.0.0.1')
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    for argument in ('--headless=new', '--no-sandbox', '--disable-dev-shm-usage'):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=Service(paths[1]))
    try:

        def find(selector):
            return browser.find_elements('css selector', selector)

        def wait(condition):
            return WebDriverWait(browser, WAIT).until(lambda _: condition())

        def run():
            # A message may cover the button.
            browser.execute_script("document.querySelector('#run').click()")

        browser.get(url)
        wait(lambda: find('#run'))
        run()
        wait(lambda: any('There is no image' in e.text for e in find('.toast-body')))
        find('input[type=file]')[0].send_keys(image)
        wait(lambda: find('.image-frame img, .image-container img'))
        run()
        for number in range(2):
            wait(lambda: ' ms on cpu' in find(f'#summary-{number}')[0].text)  # noqa: B023
            wait(lambda: 'class ' in find(f'#rows-{number}')[0].text)  # noqa: B023
        broken = tmp_path / 'broken.png'
        broken.write_text('not an image')
        browser.get(url)
        wait(lambda: find('input[type=file]'))
        find('input[type=file]')[0].send_keys(str(broken))
        message = 'broken.png is not a complete image'

        def is_reported():
            run()
            return any(message in e.text for e in find('.toast-body'))

        wait(is_reported)
    finally:
        browser.quit()
        page.close()
