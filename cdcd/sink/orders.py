"""CQL's orders in SQL. Pure."""

# Types that PostgreSQL can be told to order as CQL does, and how. It has one zero where CQL's
# floats have two, keeps times to the microsecond, and orders inet, uuid and jsonb in its own way.
_TIMEUUID_TICKS = (
    "substring({0} from 7 for 2) || substring({0} from 5 for 2) || substring({0} from 1 for 4)"
)
_SIGN_BITS = "b'" + "0" * 64 + "10000000" * 8 + "'"
_PLAIN = "{}"
EXPRESSIONS = {
    **dict.fromkeys(("tinyint", "smallint", "int", "bigint", "varint", "decimal"), _PLAIN),
    **dict.fromkeys(("boolean", "blob", "timestamp", "date"), _PLAIN),
    **dict.fromkeys(("ascii", "text"), '({} COLLATE "C")'),
    # Ticks, then the low bytes as signed bytes, as a string of bits.
    "timeuuid": (
        f"(('x' || encode({_TIMEUUID_TICKS.format('uuid_send({0})')}"
        f" || substring(uuid_send({{0}}) from 9), 'hex'))::bit(128) # {_SIGN_BITS})"
    ),
}
