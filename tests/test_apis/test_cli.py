"""Processes that leave their group."""

from . import rank_exits


def test_ranks_exit_with_their_error(run_tool):
    """The exit codes of two ranks are those of their errors, and none is an abort.

    After an exception of one rank, the other one loses its connection instead of
    waiting for it.
    """
    output = run_tool(rank_exits.__file__, 1, *rank_exits.ENDINGS)
    for result in (
        'end {(0, 0): 1}',
        'exception {(1, 1): 1}',
        'interrupt {(-2, -2): 1}',
    ):
        assert result in output
