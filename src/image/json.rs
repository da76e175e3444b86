use serde_json::Value;

/// The one form of a JSON value: keys in bytewise order, no white space, no escape but the needed ones.
///
/// oci-spec keeps labels and annotations in hash maps, whose order changes from run to run; a digest must not.
pub fn canonical_json(value: &Value) -> Vec<u8> {
    sorted(value).to_string().into_bytes()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut rows: Vec<(&String, &Value)> = map.iter().collect();
            rows.sort_by_key(|(key, _)| *key);
            Value::Object(rows.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let value = serde_json::json!({"b": [{"z": 1, "a": "é\n"}], "a": null});
        assert_eq!(
            String::from_utf8(canonical_json(&value)).unwrap(),
            "{\"a\":null,\"b\":[{\"a\":\"é\\n\",\"z\":1}]}"
        );
    }
}
