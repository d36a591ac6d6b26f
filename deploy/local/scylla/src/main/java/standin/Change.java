// SPDX-License-Identifier: Apache-2.0
package standin;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.cassandra.db.Clustering;
import org.apache.cassandra.db.Slice;
import org.apache.cassandra.db.rows.Cell;
import org.apache.cassandra.schema.ColumnMetadata;

/** One delta row of the log; two for a range delete. */
final class Change
{
    /** In the order in which ScyllaDB logs them when it splits a mutation. */
    enum Kind
    {
        STATIC_UPDATE, INSERT, UPDATE, ROW_DELETE, RANGE_DELETE, PARTITION_DELETE;

        boolean writesCells() { return this == STATIC_UPDATE || this == INSERT || this == UPDATE; }
    }

    /** What happens to one non-frozen column. */
    static final class Collection
    {
        boolean cleared;
        final List<Cell<?>> cells = new ArrayList<>();

        boolean hasLiveCells() { return cells.stream().anyMatch(c -> !c.isTombstone()); }
    }

    final Kind kind;
    /** The row; STATIC_CLUSTERING for the static one, null for deletes of more than a row. */
    final Clustering<?> row;
    /** Of a range delete. */
    final Slice range;
    /** 0: none. */
    final int ttl;
    final List<Cell<?>> atomic = new ArrayList<>();
    final Map<ColumnMetadata, Collection> collections = new LinkedHashMap<>();

    Change(Kind kind, Clustering<?> row, int ttl) { this(kind, row, null, ttl); }

    Change(Kind kind, Clustering<?> row, Slice range, int ttl)
    {
        this.kind = kind;
        this.row = row;
        this.range = range;
        this.ttl = ttl;
    }

    Collection collection(ColumnMetadata column) { return collections.computeIfAbsent(column, c -> new Collection()); }

    boolean isEmpty() { return atomic.isEmpty() && collections.isEmpty(); }

    /** The same cells as a change of another kind. */
    Change as(Kind kind, Clustering<?> row)
    {
        Change c = new Change(kind, row, ttl);
        c.atomic.addAll(atomic);
        c.collections.putAll(collections);
        return c;
    }
}
