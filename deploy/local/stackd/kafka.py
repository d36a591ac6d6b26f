"""Apache Kafka: one KRaft node, broker and controller in one process."""

from __future__ import annotations

from pathlib import Path

from stackd import certs, deps, probes, procs
from stackd.errors import StackError
from stackd.service import Archive, Service, class_path, java_command
from stackd.state import State

_POM = deps.HERE / "kafka" / "pom.xml"
_LOGGING = deps.HERE / "kafka" / "log4j2.xml"
_HEAP_MEGABYTES = 512

# The short timeouts are for tests of crashes: a client that asks for less than the default must
# not be refused, a dead producer's transaction must not be waited for long, and a broker that was
# killed must not wait for its own former session (9 s) when it comes back. Who comes in BEHIND is
# told to come to the port where a test's or drill's proxy listens.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller},BEHIND://127.0.0.1:{behind}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker},BEHIND://127.0.0.1:{proxy}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,BEHIND:PLAINTEXT
log.dirs={logs}
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
num.partitions=4
num.network.threads=2
num.io.threads=4
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=300
group.consumer.heartbeat.interval.ms=1000
log.cleaner.dedupe.buffer.size=16777216
"""

# Who comes in by MTLS shows a certificate, who comes in by LOGIN a password or a token. Tokens are
# not signed: the tests make them.
_TLS_PROPERTIES = """\
listeners={plain},MTLS://127.0.0.1:{mtls},LOGIN://127.0.0.1:{login}
advertised.listeners={advertised},MTLS://127.0.0.1:{mtls},LOGIN://127.0.0.1:{login}
listener.security.protocol.map={protocols},MTLS:SSL,LOGIN:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location={folder}/kafka.both.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.mtls.ssl.client.auth=required
listener.name.login.sasl.enabled.mechanisms=SCRAM-SHA-512,OAUTHBEARER
listener.name.login.scram-sha-512.sasl.jaas.config=\\
  org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.login.oauthbearer.sasl.jaas.config=\\
  org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
"""


def _prepare() -> list[Path]:
    jars = deps.made(
        "kafka", [_POM], lambda into: deps.copy_jars(_POM, into), "downloading Kafka (44 MB)"
    )
    return [jars]


def _command(state: State, archive: Archive | None, heap_megabytes: int) -> list[str]:
    options = [f"-Dlog4j2.configurationFile={_LOGGING}", "-Dlog4j2.disableJmx=true"]
    return [
        *java_command(state, heap_megabytes, options, archive),
        "-cp",
        class_path(*_prepare()),
    ]


def _properties(state: State, logs: Path) -> str:
    plain = _PROPERTIES.format(
        broker=state.ports["kafka"],
        controller=state.ports["kafka_controller"],
        behind=state.ports["kafka_behind"],
        proxy=state.ports["kafka_proxy"],
        logs=logs,
    )
    if not state.tls:
        return plain
    given = dict(line.split("=", 1) for line in plain.splitlines())
    # Of two lines for one property the later holds.
    return plain + _TLS_PROPERTIES.format(
        plain=given["listeners"],
        advertised=given["advertised.listeners"],
        protocols=given["listener.security.protocol.map"],
        mtls=state.ports["kafka_tls"],
        login=state.ports["kafka_login"],
        folder=certs.folder(state),
    )


def _start(state: State, archive: Archive | None) -> procs.Proc:
    data = state.data("kafka")
    properties = data / "server.properties"
    if not (data / "logs" / "meta.properties").exists():
        data.mkdir(exist_ok=True)
        properties.write_text(_properties(state, data / "logs"))
        format_archive = archive if archive and not archive.record else None
        done = procs.run(
            [
                *_command(state, format_archive, 128),
                "kafka.tools.StorageTool",
                "format",
                "-t",
                state.kafka_cluster_id,
                "-c",
                str(properties),
            ]
        )
        if done.returncode != 0:
            raise StackError(f"Kafka's storage could not be formatted:\n{done.stdout}")
    command = _command(state, archive, _HEAP_MEGABYTES)
    return procs.start([*command, "kafka.Kafka", str(properties)], state.log("kafka"))


SERVICE = Service(
    name="kafka",
    title="Kafka 4.3.1",
    prepare=_prepare,
    start=_start,
    probe=lambda state: probes.kafka(state.ports["kafka"]),
    address=lambda state: f"127.0.0.1:{state.ports['kafka']}",
)
