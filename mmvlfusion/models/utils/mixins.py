"""Subclasses of the hosts' classes that are made at run time."""

from functools import lru_cache
from typing import Any, SupportsIndex, Tuple


@lru_cache(maxsize=None)
def with_mixin(mixin: type, base: type) -> type:
    """Make a subclass that overrides methods of a class by those of a mixin.

    Args:
        mixin (type): The mixin.
        base (type): The class, which may be made by this function.

    Returns:
        type: The subclass, with the name of ``base``. Its instances can be
        copied and pickled. Equal arguments give the same class.
    """

    def reduce_ex(self: Any, protocol: SupportsIndex) -> tuple:
        # pickle cannot find the class by its name.
        reduced = super(subclass, self).__reduce_ex__(protocol)
        # A base that is made here as well gives its own mixins.
        mixins, host = reduced[1] if reduced[0] is _new else ((), base)
        return (_new, ((mixin, *mixins), host), *reduced[2:])

    subclass: Any = type(
        base.__name__,
        (mixin, base),
        dict(
            __module__=base.__module__,
            __doc__=base.__doc__,
            __reduce_ex__=reduce_ex,
        ),
    )
    return subclass


def _new(mixins: Tuple[type, ...], base: type) -> Any:
    for mixin in reversed(mixins):
        base = with_mixin(mixin, base)
    return object.__new__(base)
