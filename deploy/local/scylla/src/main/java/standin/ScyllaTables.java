// SPDX-License-Identifier: Apache-2.0
package standin;

import java.util.Map;
import java.util.UUID;
import org.apache.cassandra.cql3.statements.schema.AlterSchemaStatement;
import org.apache.cassandra.schema.KeyspaceMetadata;
import org.apache.cassandra.schema.Keyspaces;
import org.apache.cassandra.schema.Schema;
import org.apache.cassandra.schema.TableMetadata;

/** Keeps the rows of ScyllaDB's own system tables up with the schema. */
public final class ScyllaTables
{
    private static final String LOG_PARTITIONER = "com.scylladb.dht.CDCPartitioner";

    private ScyllaTables() {}

    /**
     * After a schema statement was applied.
     *
     * @param before  all keyspaces before it; null if it did not get that far
     * @param tablets the statement's tablets option, null if it has none
     */
    public static void follow(Keyspaces before, AlterSchemaStatement statement, Map<String, String> tablets)
    {
        if (before == null) return;
        String keyspace = statement.keyspace();
        KeyspaceMetadata was = before.getNullable(keyspace), now = Schema.instance.getKeyspaceMetadata(keyspace);
        if (was != null)
            for (TableMetadata t : was.tables)
                if (now == null || now.getTableNullable(t.name) == null) dropped(t);
        if (now == null)
        {
            TabletStreams.keyspaceDropped(keyspace);
            return;
        }
        if (was == null && tablets != null && "true".equalsIgnoreCase(tablets.getOrDefault("enabled", "true")))
            TabletStreams.keyspaceCreated(keyspace, Integer.parseInt(tablets.getOrDefault("initial", "0")));
        for (TableMetadata t : now.tables)
            if (was == null || was.getTableNullable(t.name) != t) changed(t, tablets);
        Store.closeCommitLogSection();
    }

    private static void changed(TableMetadata table, Map<String, String> tablets)
    {
        CdcOptions options = CdcOptions.of(table);
        Store.run("INSERT INTO system_schema.scylla_tables (keyspace_name, table_name, cdc, partitioner, version) VALUES (?,?,?,?,?)",
                  table.keyspace, table.name, options == null ? null : options.toMap(),
                  LogTables.isLog(table) ? LOG_PARTITIONER : null, UUID.randomUUID());
        if (options == null || !options.enabled() || !TabletStreams.used(table.keyspace)) return;
        String count = tablets == null ? null : tablets.get("min_tablet_count");
        TabletStreams.tableEnabled(table.keyspace, table.name, count == null ? null : Integer.valueOf(count));
    }

    private static void dropped(TableMetadata table)
    {
        Store.run("DELETE FROM system_schema.scylla_tables WHERE keyspace_name=? AND table_name=?", table.keyspace, table.name);
        TabletStreams.tableDropped(table.keyspace, table.name);
    }
}
