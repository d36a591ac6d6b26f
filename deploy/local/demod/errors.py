"""Why a demo ends early."""

from __future__ import annotations


class DemoError(Exception):
    """Something did not come up or did not arrive; the text says what."""
