"""The checker's own reading of CQL values is sound: what it encodes it decodes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.independent.cql import decode, encode
from tests.independent.forms import as_json, expected
from tests.independent.strategies import multicell, nested, parsed, values


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_values_come_back(data: st.DataObject) -> None:
    """A canonical value of any type is the same after its way through bytes, and can be shown."""
    cql = parsed(data.draw(nested | multicell))
    value = data.draw(values(cql, top=True))
    raw = encode(cql, value)
    assert decode(cql, raw) == value or not raw
    assert (expected(cql, value) is None) == (value is None)


def test_json_forms_are_the_documented_ones() -> None:
    """Inside of jsonb dates of any year and times are ISO 8601, and exact numbers are texts."""
    shown = {
        ("date", -719_529): "-000001-12-31",
        ("date", 2_932_897): "+010000-01-01",
        ("timestamp", -1): "1969-12-31T23:59:59.999Z",
        ("time", 1): "00:00:00.000000001",
        ("decimal", (150, 2)): "1.50",
        ("inet", "00" * 10 + "ffff01020304"): "::ffff:1.2.3.4",
    }
    for (name, value), text in shown.items():
        assert as_json(parsed(name), value) == text
