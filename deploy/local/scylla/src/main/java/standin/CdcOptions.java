// SPDX-License-Identifier: Apache-2.0
package standin;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.cassandra.exceptions.ConfigurationException;
import org.apache.cassandra.schema.TableId;
import org.apache.cassandra.schema.TableMetadata;

/**
 * A table's cdc option, kept as ScyllaDB keeps it: in {@code system_schema.tables.extensions['cdc']}.
 *
 * @param ttlSeconds 0: log rows never expire
 */
public record CdcOptions(boolean enabled, Preimage preimage, boolean postimage, Delta delta, int ttlSeconds)
{
    enum Preimage { FALSE, TRUE, FULL }
    enum Delta { FULL, KEYS }

    private static final String EXTENSION = "cdc";
    private static final int TTL_SECONDS_DEFAULT = 86400;

    private record Cached(TableMetadata of, CdcOptions options) {}
    /** Asked for at every write; a table's metadata is a new object whenever it changes. */
    private static final Map<TableId, Cached> cache = new ConcurrentHashMap<>();

    /** null: the table never had the option. */
    static CdcOptions of(TableMetadata table)
    {
        ByteBuffer stored = table.params.extensions.get(EXTENSION);
        if (stored == null) return null;
        Cached c = cache.get(table.id);
        if (c == null || c.of != table) cache.put(table.id, c = new Cached(table, parse(decode(stored))));
        return c.options;
    }

    static boolean enabled(TableMetadata table)
    {
        CdcOptions o = of(table);
        return o != null && o.enabled;
    }

    TableMetadata storeIn(TableMetadata table)
    {
        Map<String, ByteBuffer> extensions = new LinkedHashMap<>(table.params.extensions);
        extensions.put(EXTENSION, encode(toMap()));
        return table.unbuild().extensions(extensions).build();
    }

    static CdcOptions parse(Map<String, String> map)
    {
        boolean enabled = false, postimage = false;
        Preimage preimage = Preimage.FALSE;
        Delta delta = Delta.FULL;
        int ttl = TTL_SECONDS_DEFAULT;
        for (Map.Entry<String, String> e : map.entrySet())
        {
            String v = e.getValue().toLowerCase(Locale.ROOT);
            switch (e.getKey())
            {
                case "enabled" -> enabled = bool(v);
                case "preimage" -> preimage = v.equals("full") ? Preimage.FULL : bool(v) ? Preimage.TRUE : Preimage.FALSE;
                case "postimage" -> postimage = bool(v);
                case "delta" -> delta = switch (v)
                {
                    case "full" -> Delta.FULL;
                    case "keys" -> Delta.KEYS;
                    default -> throw bad("delta: " + v);
                };
                case "ttl" -> ttl = seconds(v);
                default -> throw bad(e.getKey());
            }
        }
        return new CdcOptions(enabled, preimage, postimage, delta, ttl);
    }

    Map<String, String> toMap()
    {
        Map<String, String> m = new LinkedHashMap<>();
        m.put("delta", delta.name().toLowerCase(Locale.ROOT));
        m.put("enabled", String.valueOf(enabled));
        m.put("postimage", String.valueOf(postimage));
        m.put("preimage", preimage.name().toLowerCase(Locale.ROOT));
        m.put("ttl", String.valueOf(ttlSeconds));
        return m;
    }

    private static int seconds(String v)
    {
        try
        {
            int ttl = Integer.parseInt(v);
            if (ttl >= 0) return ttl;
        }
        catch (NumberFormatException e)
        {
            throw bad("ttl " + v);
        }
        throw bad("ttl must be >= 0");
    }

    private static boolean bool(String v)
    {
        return switch (v)
        {
            case "true", "yes", "1" -> true;
            case "false", "no", "0" -> false;
            default -> throw bad("value " + v);
        };
    }

    private static ConfigurationException bad(String what)
    {
        return new ConfigurationException("Invalid CDC option: " + what);
    }

    // ---- ScyllaDB's serialisation of map<string, string>: little-endian 32-bit lengths ----------

    private static ByteBuffer encode(Map<String, String> map)
    {
        ByteBuffer b = ByteBuffer.allocate(4096).order(ByteOrder.LITTLE_ENDIAN).putInt(map.size());
        map.forEach((k, v) -> { put(b, k); put(b, v); });
        byte[] bytes = new byte[b.flip().remaining()];
        b.get(bytes);
        return ByteBuffer.wrap(bytes);
    }

    private static void put(ByteBuffer b, String s)
    {
        byte[] bytes = s.getBytes(StandardCharsets.UTF_8);
        b.putInt(bytes.length).put(bytes);
    }

    private static Map<String, String> decode(ByteBuffer stored)
    {
        ByteBuffer b = stored.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        Map<String, String> map = new LinkedHashMap<>();
        for (int n = b.getInt(); n > 0; n--) map.put(get(b), get(b));
        return map;
    }

    private static String get(ByteBuffer b)
    {
        byte[] bytes = new byte[b.getInt()];
        b.get(bytes);
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
