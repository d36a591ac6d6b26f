// SPDX-License-Identifier: Apache-2.0
package standin;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListMap;
import org.apache.cassandra.cql3.UntypedResultSet.Row;
import org.apache.cassandra.exceptions.InvalidRequestException;

/** The stream sets of tables in tablets keyspaces: one stream for each tablet, its token the tablet's last. */
final class TabletStreams
{
    private static final int TABLETS_DEFAULT = Integer.getInteger("standin.tablets", 4);
    /** The first set is a little older than the table, so that clients' clocks may be behind. */
    private static final long FIRST_SET_MILLIS = -5000;
    private static final byte CURRENT = 0, CLOSED = 1, OPENED = 2;

    private record StreamSet(long[] lastTokens, ByteBuffer[] streams)
    {
        static StreamSet of(List<ByteBuffer> ids)
        {
            List<ByteBuffer> sorted = new ArrayList<>(ids);
            sorted.sort(Comparator.comparingLong(StreamIds::token));
            return new StreamSet(sorted.stream().mapToLong(StreamIds::token).toArray(), sorted.toArray(new ByteBuffer[0]));
        }

        ByteBuffer streamOf(long token)
        {
            int i = Arrays.binarySearch(lastTokens, token);
            return streams[i < 0 ? Math.min(-i - 1, streams.length - 1) : i];
        }
    }

    private record TableName(String keyspace, String table) {}

    /** Keyspaces that use tablets, with the tablets of a new table. */
    private static final Map<String, Integer> keyspaces = new ConcurrentHashMap<>();
    private static final Map<TableName, ConcurrentSkipListMap<Long, StreamSet>> byTable = new ConcurrentHashMap<>();

    private TabletStreams() {}

    static void start()
    {
        for (Row r : Store.run("SELECT keyspace_name, initial_tablets FROM system_schema.scylla_keyspaces"))
            if (r.has("initial_tablets")) keyspaces.put(r.getString("keyspace_name"), r.getInt("initial_tablets"));
        for (Row r : Store.run("SELECT keyspace_name, table_name, timestamp FROM system.cdc_timestamps"))
        {
            TableName name = new TableName(r.getString("keyspace_name"), r.getString("table_name"));
            Date time = r.getTimestamp("timestamp");
            List<ByteBuffer> ids = new ArrayList<>();
            for (Row s : Store.run("SELECT stream_id FROM system.cdc_streams WHERE keyspace_name=? AND table_name=? AND timestamp=? AND stream_state=?",
                                   name.keyspace, name.table, time, CURRENT))
                ids.add(s.getBytes("stream_id"));
            setsOf(name).put(time.getTime() * 1000, StreamSet.of(ids));
        }
    }

    static void keyspaceCreated(String keyspace, int initialTablets)
    {
        Store.run("INSERT INTO system_schema.scylla_keyspaces (keyspace_name, initial_tablets) VALUES (?,?)", keyspace, initialTablets);
        keyspaces.put(keyspace, initialTablets);
    }

    static void keyspaceDropped(String keyspace)
    {
        Store.run("DELETE FROM system_schema.scylla_keyspaces WHERE keyspace_name=?", keyspace);
        keyspaces.remove(keyspace);
    }

    static boolean used(String keyspace) { return keyspaces.containsKey(keyspace); }

    /** Gives a table its first set, once. */
    static synchronized void tableEnabled(String keyspace, String table, Integer tablets)
    {
        if (byTable.containsKey(new TableName(keyspace, table))) return;
        int initial = keyspaces.get(keyspace);
        newSet(keyspace, table, tablets != null ? tablets : initial > 0 ? initial : TABLETS_DEFAULT, FIRST_SET_MILLIS, 0);
    }

    /** A new stream set of a table, as a tablet split or merge makes it. */
    static synchronized void newSet(String keyspace, String table, int tablets, long startsInMillis, long publishedAfterMillis)
    {
        if (!used(keyspace)) throw new InvalidRequestException("Keyspace " + keyspace + " does not use tablets");
        List<ByteBuffer> ids = new ArrayList<>();
        for (int i = 1; i <= tablets; i++)
        {
            long last = i == tablets ? Long.MAX_VALUE : Long.MIN_VALUE + Long.divideUnsigned(-1L, tablets) * i;
            ids.add(StreamIds.make(last, 0));
        }
        ConcurrentSkipListMap<Long, StreamSet> sets = setsOf(new TableName(keyspace, table));
        List<ByteBuffer> closed = sets.isEmpty() ? List.of() : List.of(sets.lastEntry().getValue().streams);
        Date time = Store.inMillis(startsInMillis);
        sets.put(time.getTime() * 1000, StreamSet.of(ids));
        Store.after(publishedAfterMillis, () -> publish(keyspace, table, time, Map.of(CURRENT, ids, CLOSED, closed, OPENED, ids)));
    }

    private static void publish(String keyspace, String table, Date time, Map<Byte, List<ByteBuffer>> byState)
    {
        byState.forEach((state, ids) -> {
            for (ByteBuffer id : ids)
                Store.run("INSERT INTO system.cdc_streams (keyspace_name, table_name, timestamp, stream_state, stream_id) VALUES (?,?,?,?,?)",
                          keyspace, table, time, state, id);
        });
        Store.run("INSERT INTO system.cdc_timestamps (keyspace_name, table_name, timestamp) VALUES (?,?,?)", keyspace, table, time);
        Store.closeCommitLogSection();
    }

    static synchronized void tableDropped(String keyspace, String table)
    {
        if (byTable.remove(new TableName(keyspace, table)) == null) return;
        Store.run("DELETE FROM system.cdc_streams WHERE keyspace_name=? AND table_name=?", keyspace, table);
        Store.run("DELETE FROM system.cdc_timestamps WHERE keyspace_name=? AND table_name=?", keyspace, table);
    }

    /** Of a write that was accepted. */
    static ByteBuffer streamOf(String keyspace, String table, long token, long writeMicros)
    {
        ConcurrentSkipListMap<Long, StreamSet> sets = setsOf(keyspace, table);
        Map.Entry<Long, StreamSet> e = sets.floorEntry(writeMicros);
        return (e == null ? sets.firstEntry() : e).getValue().streamOf(token);
    }

    static void checkPast(String keyspace, String table, long writeMicros)
    {
        if (setsOf(keyspace, table).floorKey(writeMicros) == null)
            throw new InvalidRequestException(
                "cdc::metadata::get_stream: could not find any CDC streams for table " + keyspace + "." + table
                + " for timestamp " + writeMicros);
    }

    /** A write may come before the statement that switched CDC on has returned. */
    private static ConcurrentSkipListMap<Long, StreamSet> setsOf(String keyspace, String table)
    {
        TableName name = new TableName(keyspace, table);
        if (!byTable.containsKey(name)) tableEnabled(keyspace, table, null);
        return byTable.get(name);
    }

    private static ConcurrentSkipListMap<Long, StreamSet> setsOf(TableName name)
    {
        return byTable.computeIfAbsent(name, n -> new ConcurrentSkipListMap<>());
    }
}
