"""Data sets of captioned images, for pre-training."""

from .image_text_json import ImageTextJson
from .image_text_shards import ImageTextShards
from .indexed_image_text_shards import IndexedImageTextShards

__all__ = ['ImageTextJson', 'ImageTextShards', 'IndexedImageTextShards']
