"""Every setting, in small frozen sections; only assembly sees the whole.

Order of strength: flag, environment (`CDCD_SCYLLA__PORT`), file (`[scylla] port = …`), default.
A field's description is one sentence on what it is and what goes wrong; `docs/CONFIG.md` is made
from them. Units are in the names.
"""

import os
import socket
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from cdcd.config.references import LookUp, merged, references, resolved
from cdcd.config.sasl import SaslSettings
from cdcd.config.section import Section
from cdcd.config.tables import TableSettings
from cdcd.config.tls import PortTlsSettings, TlsSettings, require_https
from cdcd.config.vault import VaultSettings
from cdcd.model.errors import ConfigurationError


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        raise ValueError("must be a power of two")
    return value


def _split_at_commas(value: object) -> object:
    """An environment variable names several hosts as `a,b`."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


class ScyllaSettings(Section):
    """How to reach ScyllaDB."""

    hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_at_commas)] = ("127.0.0.1",)
    """Contact points; the others are found from them."""
    port: int = Field(9042, ge=1, le=65535)
    """CQL port of every node."""
    username: str | None = None
    """User for password authentication; none connects without."""
    password: SecretStr | None = None
    """Password of that user."""
    local_datacenter: str | None = None
    """Data centre whose nodes are asked; none takes the one of the first node reached."""
    consistency: Literal["ONE", "LOCAL_ONE", "LOCAL_QUORUM", "QUORUM", "ALL"] = "QUORUM"
    """Consistency of log reads; below the writers' level changes may be seen late. Base tables are
    read at this level too, but never below `QUORUM`, or `LOCAL_QUORUM` for `LOCAL_ONE`."""
    connect_timeout_seconds: float = Field(5.0, gt=0)
    """Limit for one connection attempt."""
    request_timeout_seconds: float = Field(10.0, gt=0)
    """Limit for one read; a read that takes longer is tried again."""
    tls: TlsSettings = TlsSettings()


class KafkaSettings(Section):
    """How to reach Kafka, and what cdcd's topics are like."""

    bootstrap_servers: str = "127.0.0.1:9092"
    """Brokers to begin with, host:port, comma-separated."""
    properties: dict[str, str] = Field(default_factory=dict)
    """Further librdkafka properties for every client; they win over what the other settings say."""
    topic_partitions: int = Field(6, ge=1)
    """Partitions of a new change topic; more let more workers apply one table."""
    topic_replication_factor: int = Field(3, ge=1)
    """Copies of each partition of a new topic; below 3 a lost broker can lose changes."""
    topic_min_insync_replicas: int = Field(2, ge=1)
    """Copies of a new topic that must confirm a write."""
    topic_retention_hours: int = Field(48, ge=1)
    """How long a new change topic keeps records; one that is there: `kafka-configs.sh --alter`. A
    sink that is away for longer needs a copy."""
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "lz4"
    """Compression of produced batches."""
    session_timeout_seconds: float = Field(6.0, gt=0, le=10)
    """How long a silent worker keeps its lanes and partitions."""
    transaction_timeout_seconds: float = Field(10.0, gt=0, le=10)
    """How long a dead worker's open transaction can hold up readers."""
    request_timeout_seconds: float = Field(10.0, gt=0)
    """Limit for one call to the brokers."""
    tls: TlsSettings = TlsSettings()
    sasl: SaslSettings = SaslSettings()


class RegistrySettings(Section):
    """How to reach the schema registry."""

    url: str = "http://127.0.0.1:8081"
    """Base URL, to which `/subjects` is added; several, separated by commas, are tried in turn."""
    username: str | None = None
    """User for basic authentication."""
    password: SecretStr | None = None
    """Password of that user."""
    request_timeout_seconds: float = Field(10.0, gt=0)
    """Limit for one request."""
    tls: TlsSettings = TlsSettings()

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        require_https(self.tls, self.url)
        return self


class PostgresSettings(Section):
    """How to reach PostgreSQL, and where rows go."""

    dsn: SecretStr = SecretStr("postgresql://127.0.0.1:5432/warehouse")
    """Connection URL."""
    username: str | None = None
    """User, before the one in the dsn."""
    password: SecretStr | None = None
    """Password, before the one in the dsn."""
    vault_login: str | None = None
    """Path in Vault that leases user and password, such as `database/creds/cdcd`."""
    target_schema: str = "cdc_data"
    """Schema of the replicated tables; made when it is not there."""
    pool_connections_max: int = Field(8, ge=1)
    """Connections that the sink may hold; at most half of them copy batches ahead, none of one."""
    transaction_pooling: bool = False
    """Whether PgBouncer pools transactions: nothing outlives one then, no batch is copied ahead."""
    connect_timeout_seconds: float = Field(5.0, gt=0)
    """Limit for one connection attempt."""
    statement_timeout_seconds: float = Field(60.0, gt=0)
    """Limit for one statement; PostgreSQL cancels what takes longer."""
    tls: TlsSettings = TlsSettings()


class SourceSettings(Section):
    """Dials of the stage that reads the log; the defaults suit most clusters."""

    confidence_seconds: float = Field(0.15, ge=0)
    """Least distance kept from the clock; a row that appears later than this is late."""
    confidence_seconds_max: float = Field(3.0, ge=0)
    """Distance that is kept at most, while rows are late."""
    window_seconds_min: float = Field(0.05, gt=0)
    """Shortest window that is read at the head; shorter ones cost more queries."""
    window_seconds_max: float = Field(3600.0, gt=0)
    """Longest window while catching up."""
    window_rows: int = Field(10_000, ge=1)
    """Log rows that a window should hold while catching up; the width adapts to it. Rows
    of more than a kilobyte count by their bytes, a kilobyte for one."""
    idle_window_seconds_max: float = Field(0.5, gt=0)
    """Longest pause between two reads of an idle table; adds to its first change's latency."""
    idle_reads_per_second_max: float = Field(80.0, gt=0)
    """Queries of all idle tables past which those pauses grow, to ten seconds at most."""
    reads_in_flight_max: int = Field(16, ge=1)
    """Log reads that run at the same time."""
    streams_per_read_max: int = Field(100, ge=1)
    """Streams in one query; the server's `max_partition_key_restrictions_per_query` limits it."""
    page_rows: int = Field(5000, ge=1)
    """Rows in one page of a log read."""
    settle_delays_seconds: tuple[float, ...] = Field((30.0, 600.0), min_length=1)
    """When each part of the log is read again for rows that appeared late; the last one settles."""
    audit_delay_seconds: float = Field(14_400.0, ge=0)
    """When the log is read a last time, past the window for hints; 0 is never."""
    identities_bytes_max: int = Field(32 * 1024 * 1024, ge=0)
    """Memory for what was published lately; without it late rows are looked up in Kafka."""
    refreshes_listed_max: int = Field(10_000, ge=1)
    """Refreshed rows that are remembered one by one until the log around them is settled."""
    refresh_stop_seconds_max: float = Field(0.1, gt=0)
    """How long refreshes may hold up a table's changes at once; more make more, shorter pauses."""
    copy_share_max: float = Field(0.5, gt=0, le=1)
    """Share of a table's time that a copy of it may take; the rest is for its changes."""
    copy_lag_seconds_max: float = Field(4.0, gt=0)
    """A copy waits while the table's changes are published later than this."""
    catalog_seconds: float = Field(5.0, gt=0)
    """How often tables and generations are looked up again."""
    position_seconds_max: float = Field(30.0, gt=0)
    """How old an idle table's written position may get; for a minute after a request, a second."""


class SinkSettings(Section):
    """Dials of the stage that writes PostgreSQL; the defaults suit most targets."""

    batch_rows_max: int = Field(5000, ge=1)
    """Changes in one transaction at most."""
    batch_wait_seconds: float = Field(0.02, ge=0)
    """How long to wait for more changes when some are there."""
    fetch_wait_seconds: float = Field(0.5, gt=0)
    """How long one idle fetch waits."""
    retry_seconds_max: float = Field(10.0, gt=0)
    """Longest pause between two tries while PostgreSQL is away."""


class DlqSettings(Section):
    """When a table stops because too much of it is refused. A row that PostgreSQL refuses is a dead
    letter, and its table goes on; a flood of them means that something else is wrong. It stops when
    more than `rejected_rows_min` changes *and* more than `rejected_share_max` of all were refused
    within the window, or more than `rejected_rows_max` whatever the share.
    """

    window_seconds: float = Field(60.0, gt=0)
    """The sliding window within which changes are counted."""
    rejected_rows_min: int = Field(1000, ge=0)
    """Up to so many refused changes within the window the share does not count."""
    rejected_share_max: float = Field(0.1, ge=0, le=1)
    """The share of refused changes that stops the table, as a number from 0 to 1."""
    rejected_rows_max: int = Field(10_000, ge=0)
    """Refused changes within the window that stop the table whatever the share is."""


class ReconcileSettings(Section):
    """Dials of comparisons of source and target."""

    reads_in_flight_max: int = Field(8, ge=1)
    """Base table reads that run at the same time."""
    wait_seconds_max: float = Field(600.0, gt=0)
    """How long a comparison waits for the daemon to apply what was read before it gives up."""
    continuous: bool = False
    """Whether the daemon itself compares its lanes with the target, slowly, for ever."""
    continuous_rows_per_second: float = Field(200.0, gt=0)
    """Rows that each worker compares in a second then; each is a lookup in PostgreSQL."""
    continuous_round_seconds_min: float = Field(60.0, ge=0)
    """How long after a walk over all tables began the next may begin, which connects anew."""
    continuous_repair: bool = False
    """Whether it refreshes rows that differ; else it only counts them."""


class MaskingSettings(Section):
    """What masked columns need; which columns they are is said for each table."""

    key: SecretStr | None = Field(None, min_length=16)
    """Key of the hashes of columns with `mask = "hash"`; rows hashed by another one stay as they
    are until the table is copied anew."""


class HttpSettings(Section):
    """The daemon's own port: /, /status, /livez, /readyz, /metrics."""

    host: str = "127.0.0.1"
    """Address to listen on; loopback unless told otherwise."""
    port: int = Field(8080, ge=0, le=65535)
    """Port to listen on; 0 takes a free one and logs it."""
    tls: PortTlsSettings = PortTlsSettings()


class LogSettings(Section):
    """Logs go to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe lines that are written."""
    format: Literal["auto", "json", "console"] = "auto"
    """How lines look; auto is console on a terminal and json elsewhere."""


class TracingSettings(Section):
    """Spans of changes on their way, for a collector (docs/TRACING.md); the package's extra `otel`
    has what it takes.
    """

    endpoint: str | None = Field(None, pattern=r"^https?://[^\s/]")
    """Collector that takes OTLP over HTTP, without `/v1/traces`; none traces nothing."""
    ratio: float = Field(0.1, ge=0, le=1)
    """Share of Kafka transactions that are traced; each of their records is 70 bytes longer."""


class Settings(BaseSettings):
    """All of it."""

    model_config = SettingsConfigDict(
        env_prefix="CDCD_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    name: str = Field("cdcd", pattern=r"^[A-Za-z0-9_-]{1,100}$")
    """The pipeline: prefix of its topics, groups and transactional ids."""
    instance: str = Field(default_factory=socket.gethostname, pattern=r"^[A-Za-z0-9._-]{1,200}$")
    """This worker among the pipeline's workers; two at once with one name fence each other."""
    lanes: Annotated[int, AfterValidator(_power_of_two)] = Field(16, ge=1, le=1024)
    """Slices of the ring, a power of two; the most workers that can read; fixed from the start."""
    start_timeout_seconds: float = Field(15.0, gt=0)
    """How long the start waits for a server that is away before it gives up with exit code 3."""
    stop_timeout_seconds: float = Field(20.0, gt=0)
    """How long the first signal lets what is in flight end; then the process ends anyway."""
    stall_timeout_seconds: float = Field(120.0, ge=5)
    """How long a stage with work may stand still for no remote reason; then it ends with 3."""
    certificate_refresh_seconds: float = Field(10.0, gt=0)
    """How often certificate files are looked at; changed ones are taken over without a restart."""
    scylla: ScyllaSettings = ScyllaSettings()
    kafka: KafkaSettings = KafkaSettings()
    registry: RegistrySettings = RegistrySettings()
    postgres: PostgresSettings = PostgresSettings()
    source: SourceSettings = SourceSettings()
    sink: SinkSettings = SinkSettings()
    dlq: DlqSettings = DlqSettings()
    tables: dict[str, TableSettings] = Field(default_factory=dict)
    """Settings of single tables, by name or glob."""
    reconcile: ReconcileSettings = ReconcileSettings()
    masking: MaskingSettings = MaskingSettings()
    vault: VaultSettings = VaultSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  settings have no .env file
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  nor a secrets folder
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags before environment before file."""
        given = init_settings.init_kwargs  # type: ignore[attr-defined]
        look_up = given.pop("_look_up", None)
        file = TomlConfigSettingsSource(settings_cls, given.pop("_file", None))
        found = init_settings, env_settings, file
        return found if look_up is None else (_Resolved(settings_cls, found, look_up),)


class _Resolved(PydanticBaseSettingsSource):
    """Several sources as one, the strongest first, with the values of their references."""

    def __init__(
        self,
        settings_cls: type[BaseSettings],
        sources: tuple[PydanticBaseSettingsSource, ...],
        look_up: LookUp,
    ) -> None:
        super().__init__(settings_cls)
        self._sources = sources
        self._look_up = look_up

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Nothing by itself: all fields come at once."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """The merged tree."""
        tree = merged([source() for source in reversed(self._sources)])
        try:
            wanted = references(tree)
        except ValueError as error:
            raise ConfigurationError(f"wrong settings: {error}") from None
        values = self._look_up(tree.get("vault", {}), wanted) if wanted else {}
        found: dict[str, Any] = resolved(tree, values)
        return found


def load(
    file: Path | None, flags: dict[str, Any] | None = None, look_up: LookUp | None = None
) -> Settings:
    """The settings in force, with what their references name if it can be looked up.

    Raises ConfigurationError that names each wrong setting, and what looking up raises. Values are
    left out of the message: one of them could be a password. None reads no file; which one counts
    where none is named is said by `origin.file_of`.
    """
    if file is not None and not os.path.isfile(file):  # noqa: PTH113  Path's own may raise
        raise ConfigurationError(f"no settings file at {file}", "-c takes a TOML file")
    given: dict[str, Any] = {**(flags or {}), "_file": file, "_look_up": look_up}
    try:
        return Settings(**given)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is not TOML: {error}") from error
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise ConfigurationError("wrong settings: one is nested without end") from error
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}"
            for e in error.errors(include_input=False, include_url=False)
        ]
        read = f"the file that was read is {file}" if file else ""
        raise ConfigurationError("wrong settings: " + "; ".join(lines), read) from None
    except SettingsError as error:
        raise ConfigurationError(f"wrong settings: {error}", "tables and lists are JSON") from None
