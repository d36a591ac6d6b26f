// SPDX-License-Identifier: Apache-2.0
package standin;

import java.nio.ByteBuffer;
import java.util.concurrent.ThreadLocalRandom;

/** Stream ids: 64 bits of token, 38 random, 22 of index, 4 of version; and tokens to shards. */
final class StreamIds
{
    /** ScyllaDB's default sharding: this many of a token's high bits do not choose the shard. */
    private static final int IGNORE_MSB = 12;
    private static final int VERSION = 1;

    private StreamIds() {}

    static ByteBuffer make(long token, int index)
    {
        long low = ThreadLocalRandom.current().nextLong() << 26 | (long) (index & 0x3FFFFF) << 4 | VERSION;
        return ByteBuffer.allocate(16).putLong(token).putLong(low).flip();
    }

    static long token(ByteBuffer id) { return id.getLong(id.position()); }

    static int shardOf(long token, int shards)
    {
        long biased = (token ^ Long.MIN_VALUE) << IGNORE_MSB;
        return (int) unsignedMultiplyHigh(biased, shards);
    }

    /** The first token of a shard in (start, end]; end if there is none. Ranges wrap around. */
    static long firstTokenOfShard(long start, long end, int shard, int shards)
    {
        if (shardOf(start + 1, shards) == shard) return start + 1;
        long cycle = 1L << (64 - IGNORE_MSB);
        long position = ((start + 1) ^ Long.MIN_VALUE) & (cycle - 1);
        long first = shard * (cycle / shards) + 1;
        long offset = first >= position ? first - position : cycle - position + first;
        return Long.compareUnsigned(offset, end - start - 1) <= 0 ? start + 1 + offset : end;
    }

    private static long unsignedMultiplyHigh(long a, long b)
    {
        return Math.multiplyHigh(a, b) + ((a >> 63) & b) + ((b >> 63) & a);
    }
}
