// SPDX-License-Identifier: Apache-2.0
package standin;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.apache.cassandra.config.DatabaseDescriptor;
import org.apache.cassandra.schema.ScyllaSystemTables;
import org.apache.cassandra.service.CassandraDaemon;

/** {@code Main DATA_DIR CQL_PORT STORAGE_PORT}: one Apache Cassandra node that behaves like ScyllaDB for CDC. */
public final class Main
{
    /** What a single node need not wait for, or does not use. */
    private static final Map<String, String> SETTINGS = Map.of(
        "cassandra.skip_wait_for_gossip_to_settle", "0",
        "cassandra.ring_delay_ms", "0",
        "cassandra.load_ring_state", "false",
        "cassandra.superuser_setup_delay_ms", "0",
        "cassandra.shutdown_announce_in_ms", "0",
        "cassandra.system_distributed.default_rf", "1",
        "cassandra.size_recorder_interval", "0",
        "cassandra.available_processors", "2",
        "cassandra-foreground", "yes");

    private Main() {}

    public static void main(String[] args) throws IOException
    {
        Path dir = Path.of(args[0]).toAbsolutePath();
        Files.createDirectories(dir);
        Path yaml = dir.resolve("cassandra.yaml");
        Files.writeString(yaml, (template() + tls())
            .replace("@DIR@", dir.toString())
            .replace("@CQL_PORT@", args[1])
            .replace("@STORAGE_PORT@", args[2])
            .replace("@AUTHENTICATOR@", Boolean.getBoolean("standin.auth") ? "PasswordAuthenticator" : "AllowAllAuthenticator"));
        System.setProperty("cassandra.config", yaml.toUri().toString());
        System.setProperty("cassandra.storagedir", dir.toString());
        System.setProperty("cassandra.custom_query_handler_class", ScyllaQueryHandler.class.getName());
        SETTINGS.forEach(System::setProperty);
        DatabaseDescriptor.daemonInitialization();
        ScyllaSystemTables.addLocal();
        new Daemon().activate();
    }

    private static String template() throws IOException
    {
        try (InputStream in = Main.class.getResourceAsStream("/cassandra.yaml"))
        {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    /** Beside plain connections, for whoever has a certificate. */
    private static String tls()
    {
        String folder = System.getProperty("standin.tls");
        if (folder == null)
            return "";
        return String.join("\n",
            "client_encryption_options:",
            "  enabled: true",
            "  optional: true",
            "  require_client_auth: true",
            "  ssl_context_factory: {class_name: org.apache.cassandra.security.PEMBasedSslContextFactory}",
            "  keystore: \"" + folder + "/scylla.both.pem\"",
            "  truststore: \"" + folder + "/ca.pem\"",
            "");
    }

    private static final class Daemon extends CassandraDaemon
    {
        Daemon() { super(false); }

        /** Between the replay of the commit log and the first client. */
        @Override
        public void start()
        {
            ScyllaSystemTables.addDistributed();
            Store.run("INSERT INTO system.cdc_local (key, streams_timestamp) VALUES ('rewritten', null)");
            Store.run("INSERT INTO system.versions (key, version) VALUES ('local', '2025.4.0-stand-in')");
            VnodeStreams.start();
            TabletStreams.start();
            CdcMemtable.live = true;
            super.start();
        }
    }
}
