// SPDX-License-Identifier: Apache-2.0
package standin;

import java.nio.ByteBuffer;
import org.apache.cassandra.exceptions.InvalidRequestException;
import org.apache.cassandra.utils.FBUtilities;

/** Which stream a write belongs to, and which write timestamps are accepted. */
final class Streams
{
    private static final long LEEWAY_MICROS = 5_000_000;

    private Streams() {}

    static ByteBuffer streamOf(String keyspace, String table, long token, long writeMicros)
    {
        return TabletStreams.used(keyspace)
               ? TabletStreams.streamOf(keyspace, table, token, writeMicros)
               : VnodeStreams.streamOf(token, writeMicros);
    }

    /** Refuses, as the coordinator does, a write whose timestamp no stream takes. */
    static void check(String keyspace, String table, long writeMicros)
    {
        long now = FBUtilities.timestampMicros();
        if (writeMicros > now + LEEWAY_MICROS)
            throw new InvalidRequestException(
                "cdc: attempted to get a stream \"from the future\" (" + writeMicros + "; current server time: " + now + "). "
                + "With CDC you cannot send writes with timestamps arbitrarily into the future, because we don't know "
                + "what streams will be used at that time.");
        if (TabletStreams.used(keyspace)) TabletStreams.checkPast(keyspace, table, writeMicros);
        else VnodeStreams.checkPast(writeMicros, now, LEEWAY_MICROS);
    }
}
