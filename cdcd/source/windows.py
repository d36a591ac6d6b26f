"""Which window of the log to read next. Pure; times are milliseconds since 1970.

At the head a window ends at the servers' clock less the confidence distance. While catching up
windows grow as long as they hold few rows: an empty day costs a few reads.
"""

from dataclasses import dataclass

from cdcd.model.position import Generation, Window


@dataclass(frozen=True, slots=True)
class Pace:
    """How wide windows may be, and how many rows one may hold."""

    min_ms: int
    max_ms: int
    rows_max: int


def next_window(frontier_ms: int, head_ms: int, width_ms: int, boundary_ms: int) -> Window | None:
    """The window after the frontier, at most `width_ms` wide, that ends neither behind the head nor
    the boundary (where a generation or another lane's frontier begins); None while there is none.
    """
    end = min(frontier_ms + width_ms, head_ms, boundary_ms)
    return Window(frontier_ms, end) if end > frontier_ms else None


def next_width(width_ms: int, rows: int, pace: Pace) -> int:
    """The width to try after a window of `width_ms` that held `rows` rows.

    It doubles while the next window would hold at most half of the limit, so that a denser stretch
    of the log seldom passes the limit.
    """
    if rows * 4 <= pace.rows_max:
        return min(pace.max_ms, max(width_ms * 2, pace.min_ms))
    return width_ms


def narrower(window: Window) -> int:
    """The width to try after a window that held too many rows.

    What was read of it is thrown away, so a burst of writes behind a quiet time, where windows are
    wide, has to be come by in few tries. Too narrow costs little: widths double.
    """
    return max((window.end_ms - window.start_ms) // 8, 1)


def generation_at(generations: tuple[Generation, ...], ms: int) -> Generation | None:
    """The generation in force at a time; `generations` are in order of their start."""
    found = None
    for generation in generations:
        if generation.start_ms > ms:
            break
        found = generation
    return found


def generation_end(generations: tuple[Generation, ...], generation: Generation) -> int | None:
    """Where a generation ends: at the start of the next one, if there is one."""
    later = [g.start_ms for g in generations if g.start_ms > generation.start_ms]
    return min(later) if later else None


def generations_to_settle(
    generations: tuple[Generation, ...], window: Window, horizon_ms: int
) -> list[Generation]:
    """The generations whose streams may hold rows of a window.

    A coordinator that learned of a new generation late has written to the old one's streams after
    their end, so these stay in until the horizon is past.
    """
    return [
        generation
        for generation in generations
        if generation.start_ms < window.end_ms
        and (generation_end(generations, generation) or window.end_ms) + horizon_ms
        >= window.start_ms
    ]


def retained_from(now_ms: int, ttl_seconds: int) -> int | None:
    """Log rows before this time have expired; None where the log is kept for ever."""
    return now_ms - ttl_seconds * 1000 if ttl_seconds else None
