"""A cancellation that a task group has kept to itself.

Before Python 3.13 a group of which a task fails tells of that failure alone, even where the task
around the group was cancelled meanwhile. Whoever takes the failure and goes on never ends.
"""

import asyncio


def give_way() -> None:
    """Raise CancelledError where the running task is to end; to be called where a failure was taken
    and work goes on.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
