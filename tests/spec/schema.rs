use std::fs;
use std::path::Path;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value as Json, json};

use crate::docs;
use crate::memory::Memory;

/// `UPDATE=1` writes the page.
#[test]
fn the_committed_schema_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/buildspec.schema.json");
    let generated = format!("{}\n", serde_json::to_string_pretty(&imgpack::spec::schema()).unwrap());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/buildspec.schema.json is old: UPDATE=1 cargo test --test spec writes it"
    );
}

/// A reader of the part of JSON Schema that the generated one uses; of patterns only those for values and addresses are looked at.
fn accepts(schema: &Json, value: &Json, root: &Json) -> Result<(), String> {
    let here = |message: String| Err(format!("{message}: {value}"));
    if let Some(name) = schema["$ref"].as_str() {
        let part = name.rsplit('/').next().unwrap();
        return accepts(&root["$defs"][part], value, root);
    }
    if let Some(condition) = schema.get("if") {
        let branch = if accepts(condition, value, root).is_ok() { "then" } else { "else" };
        return accepts(&schema[branch], value, root);
    }
    if schema.get("not").is_some() {
        return here("not allowed".to_owned());
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let results: Vec<_> = any.iter().map(|schema| accepts(schema, value, root)).collect();
        return if results.iter().any(Result::is_ok) { Ok(()) } else { here(format!("{results:?}")) };
    }
    if let Some(kind) = schema["type"].as_str() {
        let fits = match kind {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_u64(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            other => panic!("unknown type {other}"),
        };
        if !fits {
            return here(format!("no {kind}"));
        }
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value))
        || schema.get("const").is_some_and(|word| word != value)
    {
        return here("another word".to_owned());
    }
    if let Some(number) = value.as_u64()
        && (schema["minimum"].as_u64().is_some_and(|minimum| number < minimum)
            || schema["maximum"].as_u64().is_some_and(|maximum| number > maximum))
    {
        return here("out of range".to_owned());
    }
    if schema["pattern"] == r"\$\{" && !value.as_str().is_some_and(|text| text.contains("${")) {
        return here("no value".to_owned());
    }
    if schema["pattern"] == "^(http|grpc|tcp)://" && !value.as_str().is_some_and(|text| text.contains("://"))
    {
        return here("no address".to_owned());
    }
    for item in value.as_array().into_iter().flatten() {
        if let Some(items) = schema.get("items") {
            accepts(items, item, root)?;
        }
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().unwrap()).is_none() {
            return here(format!("no {name}"));
        }
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        if key.starts_with("x-") && schema.get("patternProperties").is_some() {
            continue;
        }
        match (schema["properties"].get(key), schema.get("additionalProperties")) {
            (Some(property), _) => {
                accepts(property, value, root).map_err(|error| format!("{key}: {error}"))?;
            }
            (None, Some(Json::Bool(false))) => return Err(format!("unknown {key}")),
            (None, Some(others)) => {
                accepts(others, value, root).map_err(|error| format!("{key}: {error}"))?;
            }
            (None, None) => {}
        }
    }
    Ok(())
}

/// A YAML text as an editor sees it.
fn to_json(text: &str) -> Json {
    enum Frame {
        List(Vec<Json>),
        Map(Map<String, Json>, Option<String>),
    }
    fn put(frames: &mut [Frame], root: &mut Json, value: Json) {
        match frames.last_mut() {
            None => *root = value,
            Some(Frame::List(items)) => items.push(value),
            Some(Frame::Map(map, key)) => match key.take() {
                None => *key = Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
                Some(key) => {
                    map.insert(key, value);
                }
            },
        }
    }
    let (mut frames, mut root) = (Vec::new(), json!({}));
    for event in Parser::new_from_str(text) {
        let value = match event.unwrap().0 {
            Event::Scalar(text, ScalarStyle::Plain, ..) => match text.as_ref() {
                "" | "~" | "null" => Json::Null,
                "true" => json!(true),
                "false" => json!(false),
                text => text.parse::<u64>().map_or_else(
                    |_| text.parse::<f64>().map_or_else(|_| json!(text), |number| json!(number)),
                    |number| json!(number),
                ),
            },
            Event::Scalar(text, ..) => json!(text),
            Event::SequenceStart(..) => {
                frames.push(Frame::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                frames.push(Frame::Map(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match frames.pop() {
                Some(Frame::List(items)) => Json::Array(items),
                Some(Frame::Map(map, _)) => Json::Object(map),
                None => continue,
            },
            _ => continue,
        };
        put(&mut frames, &mut root, value);
    }
    root
}

#[test]
fn it_takes_every_right_spec() {
    let schema = imgpack::spec::schema();
    let mut seen = 0;
    for example in docs::examples() {
        if example.memory.load().is_ok() {
            for (path, text) in &example.memory.0 {
                accepts(&schema, &to_json(text), &schema)
                    .unwrap_or_else(|error| panic!("{path}: {error}\n{text}"));
                seen += 1;
            }
        }
    }
    assert!(seen > 25, "only {seen} files were looked at");
    // The real ones, once the repository has them.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut own = Memory::default();
    let mut open = vec![root.join("buildspecs"), root.join("imgpack.yaml")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "yaml") && path.exists() {
            let text = fs::read_to_string(&path).unwrap();
            accepts(&schema, &to_json(&text), &schema)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            own.0.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text);
        }
    }
    if own.0.contains_key("imgpack.yaml") {
        let workspace = own.load().unwrap_or_else(|problems| panic!("{problems}"));
        workspace.select(&[], None).unwrap();
    }
}

/// What a schema can show, both refuse; and what the schema refuses, the reader does.
#[test]
fn it_refuses_what_the_reader_refuses() {
    let schema = imgpack::spec::schema();
    for text in [
        "prots: []",
        "image: { prots: [1] }",
        "image: []",
        "stamp: yes",
        "tags: a",
        "args: { A: 3.10 }",
        "image: { ports: [0] }",
        "image: { ports: { a: 65536 } }",
        "image: { cmd: [1] }",
        "image: { healthcheck: sometimes }",
        "files: [{ from: a, to: /a, mode: 0644 }]",
        "files: [{ from: a, to: /a, class: base }]",
        "platforms: [windows/amd64]",
        "mediaTypes: OCI",
        "steps: []",
        "build: { python: {} }",
        "variants: { a: { name: b } }",
        "base: [static]",
        "source: []",
    ] {
        assert!(accepts(&schema, &to_json(text), &schema).is_err(), "the schema took {text}");
        assert!(Memory::new(&[("buildspecs/app.yaml", text)]).load().is_err(), "the reader took {text}");
    }
    for text in [
        "apiVersion: imgpack/v2",
        "apiVersion: imgpack/v1\ncache: { maxSize: 20 }",
        "apiVersion: imgpack/v1\nauth: { realms: { registry.example: login.example } }",
        "apiVersion: imgpack/v1\nname: x",
    ] {
        assert!(accepts(&schema, &to_json(text), &schema).is_err(), "the schema took {text}");
        assert!(Memory::new(&[("imgpack.yaml", text)]).load().is_err(), "the reader took {text}");
    }
}
