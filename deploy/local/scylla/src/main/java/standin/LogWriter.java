// SPDX-License-Identifier: Apache-2.0
package standin;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ThreadLocalRandom;
import org.apache.cassandra.db.CassandraWriteContext;
import org.apache.cassandra.db.Clustering;
import org.apache.cassandra.db.ClusteringPrefix;
import org.apache.cassandra.db.Keyspace;
import org.apache.cassandra.db.Mutation;
import org.apache.cassandra.db.RegularAndStaticColumns;
import org.apache.cassandra.db.commitlog.CommitLog;
import org.apache.cassandra.db.commitlog.CommitLogPosition;
import org.apache.cassandra.db.marshal.BooleanType;
import org.apache.cassandra.db.marshal.ByteType;
import org.apache.cassandra.db.marshal.CompositeType;
import org.apache.cassandra.db.marshal.Int32Type;
import org.apache.cassandra.db.marshal.LongType;
import org.apache.cassandra.db.marshal.UserType;
import org.apache.cassandra.db.partitions.PartitionUpdate;
import org.apache.cassandra.db.rows.BTreeRow;
import org.apache.cassandra.db.rows.BufferCell;
import org.apache.cassandra.db.rows.Cell;
import org.apache.cassandra.db.rows.Row;
import org.apache.cassandra.schema.ColumnMetadata;
import org.apache.cassandra.schema.Schema;
import org.apache.cassandra.schema.TableMetadata;
import org.apache.cassandra.serializers.CollectionSerializer;
import org.apache.cassandra.utils.ByteBufferUtil;
import org.apache.cassandra.utils.FBUtilities;
import org.apache.cassandra.utils.TimeUUID;
import org.apache.cassandra.utils.concurrent.OpOrder;
import standin.Change.Kind;

/** Writes the log rows of one mutation. */
final class LogWriter
{
    private static final int PREIMAGE = 0, UPDATE = 1, INSERT = 2, ROW_DELETE = 3, PARTITION_DELETE = 4, POSTIMAGE = 9;
    private static final int RANGE_START_INCLUSIVE = 5, RANGE_START_EXCLUSIVE = 6, RANGE_END_INCLUSIVE = 7, RANGE_END_EXCLUSIVE = 8;
    private static final int ROW_EXPIRY = -3, PARTITION_EXPIRY = -4;
    private static final ByteBuffer TRUE = BooleanType.instance.decompose(true);

    private final TableMetadata base, log;
    private final CdcOptions options;
    private final PartitionUpdate update;
    private final NavigableMap<Long, List<Change>> changes;
    private final RowImages before;
    private final long nowSeconds = FBUtilities.nowInSeconds();

    // of the group (one timestamp) being written
    private PartitionUpdate.Builder group;
    private ByteBuffer time;
    private long micros;
    private int rowsInGroup;
    private Row.Builder row;

    private LogWriter(TableMetadata base, TableMetadata log, PartitionUpdate update)
    {
        this.base = base;
        this.log = log;
        this.update = update;
        options = CdcOptions.of(base);
        changes = MutationSplitter.split(update);
        before = options.preimage() == CdcOptions.Preimage.FALSE ? null : RowImages.read(base, update, changes.values());
    }

    /** To be called before the mutation is applied: it reads the preimages. */
    static LogWriter before(TableMetadata base, PartitionUpdate update)
    {
        TableMetadata log = LogTables.logOf(base, Schema.instance.getKeyspaceMetadata(base.keyspace));
        return log == null ? null : new LogWriter(base, log, update);
    }

    /** To be called once it is applied, in the same operation group: another one could wait for a flush that waits for this. */
    void write(OpOrder.Group operation)
    {
        RowImages after = options.postimage() ? RowImages.read(base, update, changes.values()) : null;
        changes.forEach((ts, list) -> {
            PartitionUpdate rows = rowsOf(ts, list, after);
            CommitLogPosition position = CommitLog.instance.add(new Mutation(rows));
            Keyspace.open(log.keyspace).getColumnFamilyStore(log.id).apply(rows, new CassandraWriteContext(operation, position), true);
        });
    }

    private PartitionUpdate rowsOf(long ts, List<Change> list, RowImages after)
    {
        micros = ts;
        rowsInGroup = 0;
        long random = ThreadLocalRandom.current().nextLong();
        time = TimeUUID.atUnixMicrosWithLsb(ts, random & 0x3FFFFFFFFFFFFFFFL | 0x8000000000000000L).toBytes();
        long token = (Long) update.partitionKey().getToken().getTokenValue();
        ByteBuffer stream = Streams.streamOf(base.keyspace, base.name, token, ts);
        group = new PartitionUpdate.Builder(log, log.partitioner.decorateKey(stream), log.regularAndStaticColumns(), 4);
        if (before != null) preimages(list);
        boolean expiry = CdcMemtable.isExpiry(base, ts);
        for (Change c : list) delta(c, expiry);
        if (after != null) postimages(list, after);
        set("cdc$end_of_batch", TRUE);
        closeRow();
        return group.build();
    }

    // ---- images --------------------------------------------------------------------------------

    private void preimages(List<Change> list)
    {
        Map<Clustering<?>, Set<ColumnMetadata>> columns = new LinkedHashMap<>();
        for (Change c : list)
        {
            if (c.row == null) continue;
            Set<ColumnMetadata> s = columns.computeIfAbsent(c.row, k -> new TreeSet<>());
            if (c.kind == Kind.ROW_DELETE || options.preimage() == CdcOptions.Preimage.FULL) columnsOf(c.row).forEach(s::add);
            c.atomic.forEach(cell -> s.add(cell.column()));
            s.addAll(c.collections.keySet());
        }
        columns.forEach((key, wanted) -> {
            Row image = before.get(key);
            if (image == null) return;
            openRow(PREIMAGE, key);
            for (ColumnMetadata c : wanted)
            {
                ByteBuffer value = RowImages.value(image, c);
                if (value != null) set(c.name.toString(), value);
                else set("cdc$deleted_" + c.name, TRUE); // "was null"
            }
        });
    }

    private void postimages(List<Change> list, RowImages after)
    {
        Map<Clustering<?>, Set<ColumnMetadata>> touched = new LinkedHashMap<>();
        for (Change c : list)
            if (c.kind.writesCells()) touched.computeIfAbsent(c.row, k -> new LinkedHashSet<>()).addAll(c.collections.keySet());
        touched.forEach((key, collections) -> {
            Row image = after.get(key);
            if (image == null && key != Clustering.STATIC_CLUSTERING) return;
            openRow(POSTIMAGE, key);
            for (ColumnMetadata c : columnsOf(key))
            {
                ByteBuffer value = RowImages.value(image, c);
                // A touched user-defined type is there even with all its fields null.
                if (value == null && collections.contains(c) && c.type instanceof UserType) value = RowImages.frozen(c.type, List.of());
                if (value != null) set(c.name.toString(), value);
            }
        });
    }

    private Iterable<ColumnMetadata> columnsOf(Clustering<?> key)
    {
        RegularAndStaticColumns all = base.regularAndStaticColumns();
        return key == Clustering.STATIC_CLUSTERING ? all.statics : all.regulars;
    }

    // ---- deltas --------------------------------------------------------------------------------

    private void delta(Change c, boolean expiry)
    {
        switch (c.kind)
        {
            case RANGE_DELETE ->
            {
                openRow(c.range.start().isInclusive() ? RANGE_START_INCLUSIVE : RANGE_START_EXCLUSIVE, c.range.start());
                openRow(c.range.end().isInclusive() ? RANGE_END_INCLUSIVE : RANGE_END_EXCLUSIVE, c.range.end());
            }
            case PARTITION_DELETE -> openRow(expiry ? PARTITION_EXPIRY : PARTITION_DELETE, null);
            case ROW_DELETE -> openRow(expiry ? ROW_EXPIRY : ROW_DELETE, c.row);
            case INSERT -> upsert(INSERT, c);
            case UPDATE, STATIC_UPDATE -> upsert(UPDATE, c);
        }
    }

    private void upsert(int operation, Change c)
    {
        openRow(operation, c.row);
        if (c.ttl > 0) set("cdc$ttl", LongType.instance.decompose((long) c.ttl));
        if (options.delta() == CdcOptions.Delta.KEYS) return;
        for (Cell<?> cell : c.atomic)
            if (cell.isTombstone()) set("cdc$deleted_" + cell.column().name, TRUE);
            else set(cell.column().name.toString(), cell.buffer());
        c.collections.forEach(this::collection);
    }

    private void collection(ColumnMetadata column, Change.Collection c)
    {
        if (c.cleared) set("cdc$deleted_" + column.name, TRUE);
        List<Cell<?>> live = new ArrayList<>();
        List<ByteBuffer> removed = new ArrayList<>();
        for (Cell<?> cell : c.cells)
            if (cell.isTombstone()) removed.add(cell.path().get(0));
            else live.add(cell);
        if (!removed.isEmpty()) set("cdc$deleted_elements_" + column.name, CollectionSerializer.pack(removed, removed.size()));
        if (!live.isEmpty() || column.type instanceof UserType) set(column.name.toString(), RowImages.frozen(column.type, live));
    }

    // ---- rows ----------------------------------------------------------------------------------

    /** @param key a whole clustering key, a range's bound (a prefix), or null */
    private void openRow(int operation, ClusteringPrefix<?> key)
    {
        closeRow();
        row = BTreeRow.unsortedBuilder();
        row.newRow(Clustering.make(time, Int32Type.instance.decompose(rowsInGroup++)));
        set("cdc$operation", ByteType.instance.decompose((byte) operation));
        ByteBuffer pk = update.partitionKey().getKey();
        List<ColumnMetadata> columns = base.partitionKeyColumns();
        ByteBuffer[] parts = columns.size() == 1 ? new ByteBuffer[] { pk } : ((CompositeType) base.partitionKeyType).split(pk);
        for (int i = 0; i < parts.length; i++) set(columns.get(i).name.toString(), parts[i]);
        if (key == null) return;
        for (int i = 0; i < key.size(); i++)
            if (key.get(i) != null) set(base.clusteringColumns().get(i).name.toString(), key.bufferAt(i));
    }

    private void closeRow()
    {
        if (row != null) group.add(row.build());
        row = null;
    }

    private void set(String name, ByteBuffer value)
    {
        ColumnMetadata c = log.getColumn(ByteBufferUtil.bytes(name));
        if (c == null) return; // an ALTER has just dropped it
        row.addCell(options.ttlSeconds() > 0
                    ? BufferCell.expiring(c, micros, options.ttlSeconds(), nowSeconds, value)
                    : BufferCell.live(c, micros, value));
    }
}
