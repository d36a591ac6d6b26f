// SPDX-License-Identifier: Apache-2.0
package org.apache.cassandra.schema;

import java.lang.reflect.Field;
import java.util.List;
import org.apache.cassandra.cql3.statements.schema.CreateTableStatement;

/** ScyllaDB's own system tables. In this package for the members that are private to it. */
public final class ScyllaSystemTables
{
    private ScyllaSystemTables() {}

    /** Adds tables to the node-local keyspaces; to be called before the schema is loaded. */
    public static void addLocal()
    {
        add("system", List.of(
            table("system", "cdc_timestamps", """
                (keyspace_name text, table_name text, timestamp timestamp,
                 PRIMARY KEY ((keyspace_name, table_name), timestamp))
                WITH CLUSTERING ORDER BY (timestamp DESC)"""),
            table("system", "cdc_streams", """
                (keyspace_name text, table_name text, timestamp timestamp, stream_state tinyint, stream_id blob,
                 PRIMARY KEY ((keyspace_name, table_name), timestamp, stream_state, stream_id))
                WITH CLUSTERING ORDER BY (timestamp DESC, stream_state ASC, stream_id ASC)"""),
            table("system", "cdc_local", "(key text PRIMARY KEY, streams_timestamp timestamp, uuid uuid)"),
            table("system", "versions", "(key text PRIMARY KEY, build_id text, build_mode text, version text)")));
        add("system_schema", List.of(
            table("system_schema", "scylla_keyspaces", """
                (keyspace_name text PRIMARY KEY, initial_tablets int,
                 storage_options frozen<map<text, text>>, storage_type text)"""),
            table("system_schema", "scylla_tables", """
                (keyspace_name text, table_name text, cdc frozen<map<text, text>>, in_memory boolean,
                 partitioner text, version uuid, PRIMARY KEY (keyspace_name, table_name))""")));
    }

    /** Adds the tables that describe the streams; to be called once the schema is loaded. */
    public static void addDistributed()
    {
        String keyspace = SchemaConstants.DISTRIBUTED_KEYSPACE_NAME;
        for (TableMetadata t : List.of(
            table(keyspace, "cdc_generation_timestamps", """
                (key text, time timestamp, expired timestamp, PRIMARY KEY (key, time))
                WITH CLUSTERING ORDER BY (time DESC)"""),
            table(keyspace, "cdc_streams_descriptions_v2", """
                (time timestamp, range_end bigint, streams frozen<set<blob>>, PRIMARY KEY (time, range_end))""")))
            Schema.instance.transform(SchemaTransformations.addTable(t, true), true);
    }

    private static TableMetadata table(String keyspace, String name, String body)
    {
        return CreateTableStatement.parse("CREATE TABLE " + name + " " + body, keyspace)
                                   .id(TableId.forSystemTable(keyspace, name))
                                   .build();
    }

    /** The local keyspaces are fixed at class loading and have no door for more tables. */
    private static void add(String keyspace, List<TableMetadata> tables)
    {
        try
        {
            Field keyspaces = Schema.class.getDeclaredField("localKeyspaces");
            keyspaces.setAccessible(true);
            Field references = Schema.class.getDeclaredField("tableMetadataRefCache");
            references.setAccessible(true);
            KeyspaceMetadata old = Schema.instance.getLocalKeyspaces().getNullable(keyspace), now = old;
            for (TableMetadata t : tables) now = now.withSwapped(now.tables.with(t));
            keyspaces.set(Schema.instance, Schema.instance.getLocalKeyspaces().withAddedOrUpdated(now));
            references.set(Schema.instance, ((TableMetadataRefCache) references.get(Schema.instance)).withUpdatedRefs(old, now));
        }
        catch (ReflectiveOperationException e)
        {
            throw new IllegalStateException(e);
        }
    }
}
