// SPDX-License-Identifier: Apache-2.0
package standin;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import org.apache.cassandra.db.Clustering;
import org.apache.cassandra.db.LivenessInfo;
import org.apache.cassandra.db.RangeTombstone;
import org.apache.cassandra.db.partitions.PartitionUpdate;
import org.apache.cassandra.db.rows.Cell;
import org.apache.cassandra.db.rows.ColumnData;
import org.apache.cassandra.db.rows.ComplexColumnData;
import org.apache.cassandra.db.rows.Row;
import standin.Change.Kind;

/**
 * Cuts a mutation of one partition into changes, as ScyllaDB does: by timestamp; and if one timestamp
 * holds different kinds of changes or different TTLs, by kind, then by row, then by rising TTL.
 */
final class MutationSplitter
{
    /** By write timestamp (µs), each list in the order of its log rows. */
    private final NavigableMap<Long, List<Change>> changes = new TreeMap<>();
    private final Set<Integer> ttls = new HashSet<>();
    private boolean mixed;
    private boolean anyUpsert, anyMarker;

    /** Cells that can share a log row. */
    private record Cut(long micros, int ttl) implements Comparable<Cut>
    {
        @Override
        public int compareTo(Cut o)
        {
            return micros != o.micros ? Long.compare(micros, o.micros) : Integer.compare(ttl, o.ttl);
        }
    }

    private MutationSplitter() {}

    static NavigableMap<Long, List<Change>> split(PartitionUpdate update)
    {
        MutationSplitter s = new MutationSplitter();
        int kinds = 0;
        if (!update.staticRow().isEmpty())
        {
            kinds++;
            s.addStatic(update.staticRow());
        }
        boolean rows = false, ranges = false;
        for (Row row : update)
        {
            rows = true;
            s.addRow(row);
        }
        for (Iterator<RangeTombstone> it = update.deletionInfo().rangeIterator(false); it.hasNext();)
        {
            ranges = true;
            RangeTombstone range = it.next();
            s.ttls.add(0);
            s.add(range.deletionTime().markedForDeleteAt(), new Change(Kind.RANGE_DELETE, null, range.deletedSlice(), 0));
        }
        kinds += (rows ? 1 : 0) + (ranges ? 1 : 0);
        if (!update.partitionLevelDeletion().isLive())
        {
            kinds++;
            s.add(update.partitionLevelDeletion().markedForDeleteAt(), new Change(Kind.PARTITION_DELETE, null, 0));
        }
        if (s.mixed || kinds > 1 || s.changes.size() > 1 || s.ttls.size() > 1)
            for (List<Change> l : s.changes.values())
                l.sort(Comparator.comparing(c -> c.kind)); // stable: the rows of a kind stay in order
        return s.changes;
    }

    private void add(long micros, Change change)
    {
        changes.computeIfAbsent(micros, t -> new ArrayList<>()).add(change);
    }

    private void addStatic(Row row)
    {
        cellsOf(row).forEach((cut, cells) -> {
            ttls.add(cut.ttl);
            add(cut.micros, cells.as(Kind.STATIC_UPDATE, Clustering.STATIC_CLUSTERING));
        });
    }

    private void addRow(Row row)
    {
        SortedMap<Cut, Change> cells = cellsOf(row);
        LivenessInfo marker = row.primaryKeyLivenessInfo();
        Cut markerCut = null;
        if (!marker.isEmpty())
        {
            anyMarker = true;
            markerCut = new Cut(marker.timestamp(), marker.isExpiring() ? marker.ttl() : 0);
            cells.computeIfAbsent(markerCut, MutationSplitter::cells);
        }
        for (Map.Entry<Cut, Change> e : cells.entrySet()) addUpsert(row.clustering(), e.getKey(), e.getValue(), markerCut);
        if (row.deletion().isLive()) return;
        if (anyUpsert) mixed = true;
        ttls.add(0);
        add(row.deletion().time().markedForDeleteAt(), new Change(Kind.ROW_DELETE, row.clustering(), 0));
    }

    /** The cut with the row marker is the INSERT; the others are UPDATEs. */
    private void addUpsert(Clustering<?> row, Cut cut, Change cells, Cut markerCut)
    {
        anyUpsert = true;
        ttls.add(cut.ttl);
        if (anyMarker && cells.collections.values().stream().anyMatch(Change.Collection::hasLiveCells)) mixed = true;
        if (!cut.equals(markerCut))
        {
            add(cut.micros, cells.as(Kind.UPDATE, row));
            return;
        }
        Change insert = new Change(Kind.INSERT, row, cut.ttl), update = new Change(Kind.UPDATE, row, cut.ttl);
        insert.atomic.addAll(cells.atomic);
        // An INSERT can set a collection as a whole, not add elements to it.
        cells.collections.forEach((column, c) -> (c.cleared ? insert : update).collections.put(column, c));
        add(cut.micros, insert);
        if (!update.isEmpty()) add(cut.micros, update);
    }

    private static SortedMap<Cut, Change> cellsOf(Row row)
    {
        SortedMap<Cut, Change> m = new TreeMap<>();
        for (ColumnData data : row.columnData())
        {
            if (data instanceof Cell<?> cell)
            {
                m.computeIfAbsent(cutOf(cell), MutationSplitter::cells).atomic.add(cell);
                continue;
            }
            ComplexColumnData collection = (ComplexColumnData) data;
            // The tombstone of an overwrite is one microsecond older than the statement.
            if (!collection.complexDeletion().isLive())
                m.computeIfAbsent(new Cut(collection.complexDeletion().markedForDeleteAt() + 1, 0), MutationSplitter::cells)
                 .collection(collection.column()).cleared = true;
            for (Cell<?> cell : collection)
                m.computeIfAbsent(cutOf(cell), MutationSplitter::cells).collection(collection.column()).cells.add(cell);
        }
        return m;
    }

    private static Cut cutOf(Cell<?> cell)
    {
        return new Cut(cell.timestamp(), cell.isTombstone() || !cell.isExpiring() ? 0 : cell.ttl());
    }

    private static Change cells(Cut cut) { return new Change(Kind.UPDATE, null, cut.ttl); }
}
