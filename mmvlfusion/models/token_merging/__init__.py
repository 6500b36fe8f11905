from .builder import build_tome, merge_tokens_, token_sources
from .matching import Matching, match_tokens
from .schedule import merge_schedule

__all__ = [
    'Matching',
    'build_tome',
    'match_tokens',
    'merge_schedule',
    'merge_tokens_',
    'token_sources',
]
