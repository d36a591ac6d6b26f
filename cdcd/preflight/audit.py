"""Whether late rows of a table are looked for by the audit, and when. Pure."""

from cdcd.config.settings import Settings
from cdcd.model.fingerprint import AUDIT_CELL_MS
from cdcd.preflight.report import Finding, note, warning
from cdcd.source.auditing import MARGIN_MS, audit_delay_ms
from cdcd.source.catalog import SourceTable


def judge_audit(table: SourceTable, settings: Settings) -> list[Finding]:
    """What the settings and the log's life make of a table's audit; nothing where it is as wanted,
    and the topic still has what it may have to look up.
    """
    source, name, ttl = settings.source, table.spec.full_name, table.options.ttl_seconds
    wanted, settled = source.audit_delay_seconds, max(source.settle_delays_seconds)
    found_by_verifying = f"rows later than {settled:g} s are found by reconcile alone"
    if wanted == 0:
        return [note(f"{name}: there is no audit: {found_by_verifying}")]
    if wanted < settled:
        hint = "source.audit_delay_seconds must be longer than source.settle_delays_seconds"
        return [warning(f"{name}: there is no audit: {found_by_verifying}", hint)]
    delay_ms = audit_delay_ms(wanted, int(settled * 1000), ttl)
    if delay_ms is None:
        why = f"the log is kept for {ttl} s, which is too short for an audit"
        return [warning(f"{name}: {why}: {found_by_verifying}", "set cdc = {'ttl': 86400} or more")]
    found = []
    if delay_ms < wanted * 1000:
        why = f"because the log is kept for {ttl} s"
        found.append(note(f"{name}: audited after {delay_ms // 1000} s, not {wanted:g} s, {why}"))
    needed_ms = delay_ms + AUDIT_CELL_MS + MARGIN_MS
    if settings.kafka.topic_retention_hours * 3_600_000 < needed_ms:
        what = f"the audit may look up changes that are {needed_ms // 1000} s old"
        hint = "a longer kafka.topic_retention_hours, or a shorter source.audit_delay_seconds"
        found.append(warning(f"{name}: {what}, and its topic may have lost them", hint))
    return found
