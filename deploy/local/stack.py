#!/usr/bin/env python3
"""Start and stop the local stack: PostgreSQL, Kafka, schema registry, ScyllaDB stand-in."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from stackd import commands
from stackd.errors import StackError

_FOLDER = Path(os.environ.get("STACK_DIR") or Path(__file__).resolve().parents[2] / ".local")


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--dir", type=Path, default=_FOLDER, help="the stack's folder (STACK_DIR, else .local)"
    )
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    up = verbs.add_parser("up", parents=[shared], help="start what does not run")
    up.add_argument("--auth", action="store_true", help="ScyllaDB stand-in with user and password")
    up.add_argument("--tls", action="store_true", help="TLS with client certificates, too")
    verbs.add_parser("down", parents=[shared], help="stop everything and remove the data")
    verbs.add_parser("status", parents=[shared], help="what runs; exit 1 unless all answers")
    for verb, text in (
        ("start", "start one server again, on its port and data"),
        ("stop", "stop one server"),
        ("restart", "stop and start one server"),
        ("kill", "SIGKILL one server"),
    ):
        one = verbs.add_parser(verb, parents=[shared], help=text)
        one.add_argument("service", choices=sorted(commands.ALL))
    for verb, service, text in (
        ("seal", "vault", "let it run and give nothing, until it is started"),
        ("mount", "postgres", "give it a small file system beside its own; for root"),
        ("fill", "postgres", "leave no room on the small file system"),
        ("free", "postgres", "make room there again"),
        ("unmount", "postgres", "take the small file system away"),
    ):
        one = verbs.add_parser(verb, parents=[shared], help=text)
        one.add_argument("service", choices=[service])
    return parser


def main() -> int:
    """Exit status: 0 done, 1 an error or (status) something does not answer, 2 wrong usage."""
    args = _parser().parse_args()
    folder = args.dir.resolve()
    try:
        match args.verb:
            case "up":
                commands.up(folder, auth=args.auth, tls=args.tls)
            case "down":
                commands.down(folder)
            case "status":
                return 0 if commands.status(folder) else 1
            case verb:
                getattr(commands, verb)(folder, args.service)
    except (StackError, OSError) as e:
        print(f"stack: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
