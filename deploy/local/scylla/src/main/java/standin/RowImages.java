// SPDX-License-Identifier: Apache-2.0
package standin;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableSet;
import java.util.TreeSet;
import org.apache.cassandra.db.Clustering;
import org.apache.cassandra.db.ReadExecutionController;
import org.apache.cassandra.db.SinglePartitionReadCommand;
import org.apache.cassandra.db.Slices;
import org.apache.cassandra.db.marshal.AbstractType;
import org.apache.cassandra.db.marshal.SetType;
import org.apache.cassandra.db.marshal.TupleType;
import org.apache.cassandra.db.marshal.UserType;
import org.apache.cassandra.db.partitions.PartitionIterator;
import org.apache.cassandra.db.partitions.PartitionUpdate;
import org.apache.cassandra.db.partitions.UnfilteredPartitionIterators;
import org.apache.cassandra.db.rows.Cell;
import org.apache.cassandra.db.rows.ComplexColumnData;
import org.apache.cassandra.db.rows.Row;
import org.apache.cassandra.db.rows.RowIterator;
import org.apache.cassandra.schema.ColumnMetadata;
import org.apache.cassandra.schema.TableMetadata;
import org.apache.cassandra.serializers.CollectionSerializer;
import org.apache.cassandra.utils.ByteBufferUtil;
import org.apache.cassandra.utils.FBUtilities;

/** The rows that a mutation touches, read from the table; and their values in the log's types. */
final class RowImages
{
    private final Map<Clustering<?>, Row> rows;

    private RowImages(Map<Clustering<?>, Row> rows) { this.rows = rows; }

    /** null if there is no such row. */
    Row get(Clustering<?> row) { return rows.get(row); }

    static RowImages read(TableMetadata table, PartitionUpdate update, Collection<List<Change>> changes)
    {
        NavigableSet<Clustering<?>> touched = new TreeSet<>(table.comparator);
        boolean staticRow = false;
        for (List<Change> l : changes)
            for (Change c : l)
                if (c.kind == Change.Kind.STATIC_UPDATE) staticRow = true;
                else if (c.row != null) touched.add(c.row);
        if (touched.isEmpty() && !staticRow) return new RowImages(Map.of());
        long now = FBUtilities.nowInSeconds();
        SinglePartitionReadCommand read = touched.isEmpty()
            ? SinglePartitionReadCommand.create(table, now, update.partitionKey(), Slices.NONE)
            : SinglePartitionReadCommand.create(table, now, update.partitionKey(), touched);
        Map<Clustering<?>, Row> rows = new HashMap<>();
        try (ReadExecutionController c = read.executionController();
             PartitionIterator partitions = UnfilteredPartitionIterators.filter(read.executeLocally(c), now))
        {
            while (partitions.hasNext())
                try (RowIterator partition = partitions.next())
                {
                    if (!partition.staticRow().isEmpty()) rows.put(Clustering.STATIC_CLUSTERING, partition.staticRow());
                    partition.forEachRemaining(r -> rows.put(r.clustering(), r));
                }
        }
        return new RowImages(rows);
    }

    /** null if the column is. */
    static ByteBuffer value(Row row, ColumnMetadata column)
    {
        if (row == null) return null;
        if (!column.isComplex())
        {
            Cell<?> cell = row.getCell(column);
            return cell == null || cell.isTombstone() ? null : cell.buffer();
        }
        ComplexColumnData collection = row.getComplexColumnData(column);
        if (collection == null) return null;
        List<Cell<?>> live = new ArrayList<>();
        for (Cell<?> cell : collection) if (!cell.isTombstone()) live.add(cell);
        return live.isEmpty() ? null : frozen(column.type, live);
    }

    /** Live cells of a non-frozen column as one value of the log column's frozen type. */
    static ByteBuffer frozen(AbstractType<?> type, List<Cell<?>> cells)
    {
        if (type instanceof UserType udt)
        {
            ByteBuffer[] fields = new ByteBuffer[udt.size()];
            for (Cell<?> c : cells) fields[ByteBufferUtil.toShort(c.path().get(0))] = c.buffer();
            return TupleType.buildValue(fields);
        }
        List<ByteBuffer> parts = new ArrayList<>();
        for (Cell<?> c : cells)
        {
            parts.add(c.path().get(0));
            if (!(type instanceof SetType)) parts.add(c.buffer());
        }
        return CollectionSerializer.pack(parts, cells.size());
    }
}
