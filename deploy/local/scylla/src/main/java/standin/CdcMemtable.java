// SPDX-License-Identifier: Apache-2.0
package standin;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.cassandra.db.commitlog.CommitLogPosition;
import org.apache.cassandra.db.memtable.Memtable;
import org.apache.cassandra.db.memtable.SkipListMemtable;
import org.apache.cassandra.db.partitions.PartitionUpdate;
import org.apache.cassandra.index.transactions.UpdateTransaction;
import org.apache.cassandra.schema.SchemaConstants;
import org.apache.cassandra.schema.TableId;
import org.apache.cassandra.schema.TableMetadata;
import org.apache.cassandra.schema.TableMetadataRef;
import org.apache.cassandra.utils.concurrent.OpOrder;

/**
 * The memtable of every table: it sees each write exactly as it is applied, be it plain, of a batch
 * or the commit of a conditional one. (A trigger would not: conditional and counter batches refuse
 * triggers.)
 */
public final class CdcMemtable extends SkipListMemtable
{
    /** Named by cassandra.yaml; found by reflection. */
    public static final Factory FACTORY = new Factory()
    {
        @Override
        public Memtable create(AtomicReference<CommitLogPosition> lower, TableMetadataRef ref, Owner owner)
        {
            return new CdcMemtable(lower, ref, owner);
        }
    };

    /** False while the commit log is replayed: it holds the log rows of those writes too. */
    static volatile boolean live;

    private record Expiry(TableId table, long micros) {}
    private static final Set<Expiry> expiries = ConcurrentHashMap.newKeySet();

    private CdcMemtable(AtomicReference<CommitLogPosition> lower, TableMetadataRef ref, Owner owner)
    {
        super(lower, ref, owner);
    }

    /** The deletes of this table and timestamp, to come in a moment, are the server's own. */
    static void expect(TableId table, long micros) { expiries.add(new Expiry(table, micros)); }

    static boolean isExpiry(TableMetadata table, long micros)
    {
        return !expiries.isEmpty() && expiries.remove(new Expiry(table.id, micros));
    }

    @Override
    public long put(PartitionUpdate update, UpdateTransaction indexer, OpOrder.Group group)
    {
        TableMetadata table = metadata();
        if (!live || SchemaConstants.isSystemKeyspace(table.keyspace) || LogTables.isLog(table))
            return super.put(update, indexer, group);
        LogWriter log = CdcOptions.enabled(table) ? LogWriter.before(table, update) : null;
        long delta = super.put(update, indexer, group);
        if (log != null) log.write(group);
        Store.closeCommitLogSection();
        return delta;
    }
}
