//! Log rows as JSON. Values that JSON has no type for are objects with one key, the type's name.

use scylla::value::CqlValue;
use scylla_cdc::consumer::CDCRow;
use serde_json::{json, Map, Value};

pub fn row(table: &str, row: &CDCRow<'_>) -> Value {
    let code = row.operation.clone() as i8;
    let mut columns = Map::new();
    for name in row.get_non_cdc_column_names() {
        let mut column = Map::new();
        if let Some(found) = row.get_value(name) {
            column.insert("value".into(), value(found));
        }
        if row.column_deletable(name) && row.is_value_deleted(name) {
            column.insert("deleted".into(), true.into());
        }
        if row.collection_exists(name) && !row.get_deleted_elements(name).is_empty() {
            let elements = row.get_deleted_elements(name).iter().map(value).collect();
            column.insert("deleted_elements".into(), Value::Array(elements));
        }
        columns.insert(name.into(), column.into());
    }
    json!({
        "table": table,
        "stream": row.stream_id.to_string(),
        "time": row.time.to_string(),
        "seq": row.batch_seq_no,
        "operation": if row.is_expiration { -code } else { code },
        "ttl": row.ttl,
        "end_of_batch": row.end_of_batch,
        "columns": columns,
    })
}

fn value(v: &CqlValue) -> Value {
    match v {
        CqlValue::Ascii(s) | CqlValue::Text(s) => json!(s),
        CqlValue::Boolean(b) => json!(b),
        CqlValue::TinyInt(n) => json!(n),
        CqlValue::SmallInt(n) => json!(n),
        CqlValue::Int(n) => json!(n),
        CqlValue::BigInt(n) => json!(n),
        CqlValue::Counter(n) => json!(n.0),
        // As text: JSON has neither NaN nor the infinities.
        CqlValue::Float(f) => json!({ "float": f.to_string() }),
        CqlValue::Double(f) => json!({ "double": f.to_string() }),
        CqlValue::Varint(n) => json!({ "varint": hex(n.as_signed_bytes_be_slice()) }),
        CqlValue::Decimal(d) => {
            let (unscaled, scale) = d.as_signed_be_bytes_slice_and_exponent();
            json!({ "decimal": [hex(unscaled), scale] })
        }
        CqlValue::Blob(b) => json!({ "blob": hex(b) }),
        CqlValue::Uuid(u) => json!({ "uuid": u.to_string() }),
        CqlValue::Timeuuid(u) => json!({ "uuid": u.to_string() }),
        CqlValue::Inet(a) => json!({ "inet": a.to_string() }),
        CqlValue::Timestamp(t) => json!({ "timestamp": t.0 }),
        CqlValue::Date(d) => json!({ "date": d.0 }),
        CqlValue::Time(t) => json!({ "time": t.0 }),
        CqlValue::Duration(d) => json!({ "duration": [d.months, d.days, d.nanoseconds] }),
        CqlValue::Empty => json!({ "empty": true }),
        CqlValue::List(l) => json!({ "list": all(l) }),
        CqlValue::Vector(l) => json!({ "vector": all(l) }),
        CqlValue::Set(l) => json!({ "set": all(l) }),
        CqlValue::Map(m) => {
            let pairs: Vec<Value> = m.iter().map(|(k, v)| json!([value(k), value(v)])).collect();
            json!({ "map": pairs })
        }
        CqlValue::Tuple(fields) => {
            json!({ "tuple": fields.iter().map(|f| f.as_ref().map(value)).collect::<Vec<_>>() })
        }
        CqlValue::UserDefinedType { fields, .. } => {
            let named: Map<String, Value> = fields
                .iter()
                .map(|(n, f)| (n.clone(), json!(f.as_ref().map(value))))
                .collect();
            json!({ "udt": named })
        }
        other => panic!("a value of a type this program does not know: {other:?}"),
    }
}

fn all(values: &[CqlValue]) -> Vec<Value> {
    values.iter().map(value).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
