// SPDX-License-Identifier: Apache-2.0
package standin;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentSkipListMap;
import org.apache.cassandra.cql3.UntypedResultSet.Row;
import org.apache.cassandra.db.marshal.BytesType;
import org.apache.cassandra.dht.Token;
import org.apache.cassandra.exceptions.InvalidRequestException;
import org.apache.cassandra.service.StorageService;

/** The generations of vnode keyspaces: cluster-wide, one stream for each vnode and shard. */
final class VnodeStreams
{
    private static final int SHARDS = Integer.getInteger("standin.shards", 2);

    /** @param rangeEnds the last token of each vnode, rising; streams by vnode and shard */
    private record Generation(long[] rangeEnds, ByteBuffer[][] streams)
    {
        static Generation of(TreeMap<Long, ByteBuffer[]> byRangeEnd)
        {
            return new Generation(byRangeEnd.keySet().stream().mapToLong(Long::longValue).toArray(),
                                  byRangeEnd.values().toArray(new ByteBuffer[0][]));
        }

        ByteBuffer streamOf(long token)
        {
            int i = Arrays.binarySearch(rangeEnds, token);
            if (i < 0) i = -i - 1;
            ByteBuffer[] shards = streams[i == rangeEnds.length ? 0 : i];
            return shards[StreamIds.shardOf(token, shards.length)];
        }
    }

    private static final ConcurrentSkipListMap<Long, Generation> byStartMicros = new ConcurrentSkipListMap<>();

    private VnodeStreams() {}

    /** Loads what is stored; makes the first generation if there is none. */
    static void start()
    {
        for (Row r : Store.run("SELECT time FROM system_distributed.cdc_generation_timestamps WHERE key='timestamps'"))
        {
            Date time = r.getTimestamp("time");
            TreeMap<Long, ByteBuffer[]> byRangeEnd = new TreeMap<>();
            for (Row d : Store.run("SELECT range_end, streams FROM system_distributed.cdc_streams_descriptions_v2 WHERE time=?", time))
                byRangeEnd.put(d.getLong("range_end"), byShard(d.getSet("streams", BytesType.instance)));
            byStartMicros.put(time.getTime() * 1000, Generation.of(byRangeEnd));
        }
        if (byStartMicros.isEmpty()) newGeneration(0, 0);
    }

    private static ByteBuffer[] byShard(Set<ByteBuffer> streams)
    {
        ByteBuffer[] byShard = new ByteBuffer[SHARDS];
        Arrays.fill(byShard, streams.iterator().next()); // a shard without a token in the vnode
        for (ByteBuffer id : streams) byShard[StreamIds.shardOf(StreamIds.token(id), SHARDS)] = id;
        return byShard;
    }

    /**
     * A new generation, as a change of the topology makes one. Writes use it from its start on; readers
     * see it in the tables once it is published, which may be later.
     */
    static void newGeneration(long startsInMillis, long publishedAfterMillis)
    {
        List<Long> tokens = new ArrayList<>();
        for (Token t : StorageService.instance.getLocalTokens()) tokens.add((Long) t.getTokenValue());
        Collections.sort(tokens);
        TreeMap<Long, ByteBuffer[]> byRangeEnd = new TreeMap<>();
        for (int vnode = 0; vnode < tokens.size(); vnode++)
        {
            long end = tokens.get(vnode), start = tokens.get((vnode + tokens.size() - 1) % tokens.size());
            ByteBuffer[] shards = new ByteBuffer[SHARDS];
            for (int s = 0; s < SHARDS; s++)
                shards[s] = StreamIds.make(StreamIds.firstTokenOfShard(start, end, s, SHARDS), vnode);
            byRangeEnd.put(end, shards);
        }
        Date time = Store.inMillis(startsInMillis);
        byStartMicros.put(time.getTime() * 1000, Generation.of(byRangeEnd));
        Store.after(publishedAfterMillis, () -> publish(time, byRangeEnd));
    }

    /** The streams first, then the timestamp: whoever sees the timestamp may read the streams. */
    private static void publish(Date time, TreeMap<Long, ByteBuffer[]> byRangeEnd)
    {
        for (Map.Entry<Long, ByteBuffer[]> e : byRangeEnd.entrySet())
            Store.run("INSERT INTO system_distributed.cdc_streams_descriptions_v2 (time, range_end, streams) VALUES (?,?,?)",
                      time, e.getKey(), new LinkedHashSet<>(Arrays.asList(e.getValue())));
        Store.run("INSERT INTO system_distributed.cdc_generation_timestamps (key, time) VALUES ('timestamps', ?)", time);
        Store.closeCommitLogSection();
    }

    /** Of a write that was accepted. */
    static ByteBuffer streamOf(long token, long writeMicros)
    {
        Map.Entry<Long, Generation> e = byStartMicros.floorEntry(writeMicros);
        return (e == null ? byStartMicros.firstEntry() : e).getValue().streamOf(token);
    }

    /** Within the leeway any past timestamp is good; older ones must lie in the current generation. */
    static void checkPast(long writeMicros, long nowMicros, long leewayMicros)
    {
        if (writeMicros > nowMicros - leewayMicros) return;
        Long generation = byStartMicros.floorKey(writeMicros);
        if (generation == null || !generation.equals(byStartMicros.floorKey(nowMicros)))
            throw new InvalidRequestException(
                "cdc: attempted to get a stream \"from the past\" (" + writeMicros + "; current server time: " + nowMicros + "). "
                + "With CDC you cannot send writes with timestamps too far into the past, because that would break "
                + "consistency properties.");
    }
}
