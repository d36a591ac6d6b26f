"""What is left for people before production: the lines of docs/PRODUCTION.md that nothing else
checks. Pure.
"""

from cdcd.preflight.report import ToDo

_PAGE = "docs/PRODUCTION.md"

_LEFT = {
    "Infrastructure": (
        ("Three nodes and more of each service, on SSD or NVMe", ""),
        ("Only the ports that are needed are open, between networks that are apart", ""),
        (
            "Two workers or more, on machines of their own, started by a supervisor",
            "docs/DEPLOY.md",
        ),
    ),
    "Security": (
        ("Certificates are of your own authority, and somebody renews them", ""),
        ("Vault runs in production mode, in more than one copy", "docs/SECURITY.md"),
        ("Secrets are changed every 90 days, and it was tried", "docs/SECURITY.md"),
        ("The databases write an audit log", ""),
        ("Columns that must stay in ScyllaDB are masked", "docs/SECURITY.md"),
    ),
    "Monitoring": (
        (
            "Prometheus scrapes every worker, twice, and keeps metrics for 30 days",
            "docs/METRICS.md",
        ),
        ("A test alert has reached the one who is on call", "docs/RUNBOOK.md"),
        ("Logs are collected; something outside asks /readyz", "docs/DEPLOY.md"),
    ),
    "Backup": (
        ("The position is saved daily, elsewhere, encrypted", "docs/OFFSETS.md"),
        (
            "PostgreSQL and ScyllaDB are backed up; a restore was tried this quarter",
            "docs/RECOVERY.md",
        ),
    ),
    "Capacity": (
        ("Load was tried at twice the peak, and half a year's growth fits", "docs/SCALING.md"),
        ("Processor and memory of the workers have limits", "docs/DEPLOY.md"),
    ),
    "Procedures": (
        ("All tables are compared by schedule", "docs/RECONCILE.md"),
        ("Drills were held on a staging cluster; a rollback was tried", "docs/DRILLS.md"),
        ("Dead letters have an owner", "docs/DLQ.md"),
        ("An incident has a playbook, and changes have a form", "docs/INCIDENTS.md"),
    ),
    "Governance": (
        (
            "Somebody has said which data are personal, and how long they are kept",
            "docs/SECURITY.md",
        ),
    ),
    "Go-live": (
        (
            "Date, people, way back, and who watches the first day are written down",
            "docs/CHANGES.md",
        ),
    ),
}

TO_DO = tuple(
    ToDo(area, what, see or _PAGE) for area, items in _LEFT.items() for what, see in items
)
