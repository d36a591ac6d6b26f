"""Where the clone keeps what the demo uses."""

from __future__ import annotations

import os
from pathlib import Path

CLONE = Path(__file__).resolve().parents[3]
LOCAL = Path(os.environ.get("STACK_DIR") or CLONE / ".local")
SAMPLE = CLONE / "deploy" / "sample" / "app_data.cql"
STACK_COMMAND = CLONE / "deploy" / "local" / "stack.py"

PIPELINE = "demo"
KEYSPACE = "app_data"
TARGET_SCHEMA = "cdc_data"
