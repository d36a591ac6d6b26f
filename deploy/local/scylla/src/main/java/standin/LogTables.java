// SPDX-License-Identifier: Apache-2.0
package standin;

import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.cassandra.cql3.ColumnIdentifier;
import org.apache.cassandra.cql3.statements.schema.AlterSchemaStatement;
import org.apache.cassandra.db.marshal.AbstractType;
import org.apache.cassandra.db.marshal.BooleanType;
import org.apache.cassandra.db.marshal.ByteType;
import org.apache.cassandra.db.marshal.BytesType;
import org.apache.cassandra.db.marshal.Int32Type;
import org.apache.cassandra.db.marshal.ListType;
import org.apache.cassandra.db.marshal.LongType;
import org.apache.cassandra.db.marshal.MapType;
import org.apache.cassandra.db.marshal.SetType;
import org.apache.cassandra.db.marshal.ShortType;
import org.apache.cassandra.db.marshal.TimeUUIDType;
import org.apache.cassandra.exceptions.InvalidRequestException;
import org.apache.cassandra.schema.CachingParams;
import org.apache.cassandra.schema.ColumnMetadata;
import org.apache.cassandra.schema.CompactionParams;
import org.apache.cassandra.schema.KeyspaceMetadata;
import org.apache.cassandra.schema.Keyspaces;
import org.apache.cassandra.schema.TableMetadata;
import org.apache.cassandra.utils.FBUtilities;

/** Makes, alters and drops log tables together with their base tables. */
public final class LogTables
{
    static final String SUFFIX = "_scylla_cdc_log";
    private static final String STREAM_ID = "cdc$stream_id";

    private LogTables() {}

    static TableMetadata logOf(TableMetadata base, KeyspaceMetadata keyspace)
    {
        TableMetadata t = keyspace.getTableNullable(base.name + SUFFIX);
        return t != null && isLog(t) ? t : null;
    }

    /** Not every table with the suffix is a log table: a user may own an ordinary one. */
    static boolean isLog(TableMetadata table)
    {
        return table.name.endsWith(SUFFIX) && table.partitionKeyColumns().get(0).name.toString().equals(STREAM_ID);
    }

    /**
     * What a schema statement means for the log tables of its keyspace.
     *
     * @param cdc the statement's cdc option, null if it has none
     */
    public static Keyspaces follow(Keyspaces before, Keyspaces after, AlterSchemaStatement statement, Map<String, String> cdc)
    {
        KeyspaceMetadata was = before.getNullable(statement.keyspace()), now = after.getNullable(statement.keyspace());
        if (now == null) return after;
        KeyspaceMetadata next = now;
        for (TableMetadata t : now.tables)
        {
            TableMetadata t0 = was == null ? null : was.getTableNullable(t.name);
            if (t == t0 || isLog(t)) continue; // the same: also CREATE ... IF NOT EXISTS of a table that exists
            next = withLog(next, withOption(t, t0, statement, cdc));
        }
        if (was != null) next = withoutOrphans(was, next);
        return next == now ? after : after.withAddedOrUpdated(next);
    }

    private static TableMetadata withOption(TableMetadata t, TableMetadata before, AlterSchemaStatement statement, Map<String, String> cdc)
    {
        if (cdc != null && t.name.equals(statement.getAuditLogContext().scope)) return CdcOptions.parse(cdc).storeIn(t);
        CdcOptions kept = before == null ? null : CdcOptions.of(before);
        // A rewritten `WITH extensions = {}` must not take the option away.
        return kept == null || CdcOptions.of(t) != null ? t : kept.storeIn(t);
    }

    private static KeyspaceMetadata withLog(KeyspaceMetadata keyspace, TableMetadata base)
    {
        KeyspaceMetadata k = keyspace.withSwapped(keyspace.tables.withSwapped(base));
        if (!CdcOptions.enabled(base)) return k; // switched off: the log table stays, detached
        if (base.isCounter())
            throw new InvalidRequestException("Cannot create CDC log for table " + base + ". Counter support not implemented");
        TableMetadata same = k.getTableNullable(base.name + SUFFIX);
        if (same == null) return k.withSwapped(k.tables.with(create(base)));
        if (!isLog(same))
            throw new InvalidRequestException("Cannot create CDC log table for table " + base + " because a table of name " + same + " already exists");
        TableMetadata altered = alter(same, base);
        return altered.equals(same) ? k : k.withSwapped(k.tables.withSwapped(altered));
    }

    private static KeyspaceMetadata withoutOrphans(KeyspaceMetadata was, KeyspaceMetadata now)
    {
        KeyspaceMetadata k = now;
        for (TableMetadata t : was.tables)
        {
            TableMetadata log = logOf(t, was);
            if (log == null) continue;
            TableMetadata base = k.getTableNullable(t.name);
            boolean logStays = k.getTableNullable(log.name) != null;
            if (base == null && logStays) k = k.withSwapped(k.tables.without(log.name));
            else if (base != null && !logStays && CdcOptions.enabled(base))
                throw new InvalidRequestException("Cannot drop CDC log table " + log + " while CDC is enabled on " + base);
        }
        return k;
    }

    // ---- schema of a log table -----------------------------------------------------------------

    /** All columns but the primary key. */
    private static Map<String, AbstractType<?>> columns(TableMetadata base)
    {
        Map<String, AbstractType<?>> columns = new LinkedHashMap<>();
        columns.put("cdc$operation", ByteType.instance);
        columns.put("cdc$ttl", LongType.instance);
        columns.put("cdc$end_of_batch", BooleanType.instance);
        base.partitionKeyColumns().forEach(c -> columns.put(c.name.toString(), c.type));
        base.clusteringColumns().forEach(c -> columns.put(c.name.toString(), c.type.unwrap())); // DESC is a type here
        for (ColumnMetadata c : base.regularAndStaticColumns())
        {
            String name = c.name.toString();
            columns.put(name, valueType(c.type));
            columns.put("cdc$deleted_" + name, BooleanType.instance);
            if (c.type.isMultiCell())
                columns.put("cdc$deleted_elements_" + name, SetType.getInstance(elementKeyType(c.type), false));
        }
        return columns;
    }

    private static AbstractType<?> valueType(AbstractType<?> type)
    {
        if (!type.isMultiCell()) return type;
        if (type instanceof ListType<?> list) return MapType.getInstance(TimeUUIDType.instance, list.getElementsType(), false);
        return type.freeze();
    }

    private static AbstractType<?> elementKeyType(AbstractType<?> type)
    {
        if (type instanceof ListType<?>) return TimeUUIDType.instance;
        if (type instanceof SetType<?> set) return set.getElementsType();
        if (type instanceof MapType<?, ?> map) return map.getKeysType();
        return ShortType.instance; // a field of a user-defined type, by its position
    }

    private static TableMetadata create(TableMetadata base)
    {
        TableMetadata.Builder b = TableMetadata.builder(base.keyspace, base.name + SUFFIX)
            .addPartitionKeyColumn(STREAM_ID, BytesType.instance)
            .addClusteringColumn("cdc$time", TimeUUIDType.instance)
            .addClusteringColumn("cdc$batch_seq_no", Int32Type.instance)
            .comment("CDC log for " + base.keyspace + "." + base.name)
            .caching(CachingParams.CACHE_NOTHING);
        columns(base).forEach((name, type) -> b.addRegularColumn(exactly(name), type));
        int ttl = CdcOptions.of(base).ttlSeconds();
        if (ttl > 0)
        {
            int windowMinutes = Math.max(1, ttl / 24 / 60);
            b.gcGraceSeconds(0).compaction(CompactionParams.twcs(Map.of(
                "compaction_window_unit", "MINUTES",
                "compaction_window_size", String.valueOf(windowMinutes),
                "expired_sstable_check_frequency_seconds", String.valueOf(windowMinutes * 30))));
        }
        return b.build();
    }

    private static TableMetadata alter(TableMetadata log, TableMetadata base)
    {
        Map<String, AbstractType<?>> missing = columns(base);
        TableMetadata.Builder b = log.unbuild();
        long now = FBUtilities.timestampMicros();
        for (ColumnMetadata c : log.regularColumns())
        {
            if (c.type.equals(missing.get(c.name.toString())))
            {
                missing.remove(c.name.toString());
                continue;
            }
            b.removeRegularOrStaticColumn(c.name);
            b.recordColumnDrop(c, now);
        }
        missing.forEach((name, type) -> b.addRegularColumn(exactly(name), type));
        return b.build();
    }

    /** Given a plain string, Cassandra takes the name in small letters. */
    private static ColumnIdentifier exactly(String name) { return ColumnIdentifier.getInterned(name, true); }
}
