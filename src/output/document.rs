//! Documents for machines: `apiVersion` and `kind` first, then the keys of the contract in its order.

use serde::Serialize;
use serde_json::Value;

use crate::model::human::harmless;

/// The version of every document.
pub(crate) const DOCUMENT_API_VERSION: &str = "cli.emqx.io/v1alpha1";

/// A document: its kind and its content.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a, T> {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    body: &'a T,
}

/// Several documents of one kind.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<T> {
    api_version: &'static str,
    kind: String,
    items: Vec<T>,
}

fn document<'a, T: Serialize>(kind: &'static str, body: &'a T) -> Document<'a, T> {
    Document { api_version: DOCUMENT_API_VERSION, kind, body }
}

/// The form of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON, indented as kubectl's.
    Json,
    Yaml,
    /// JSON on one line.
    Line,
}

/// One document.
pub fn one<T: Serialize>(kind: &'static str, body: &T, format: Format) -> String {
    write(&document(kind, body), format)
}

/// A list of documents, each with its own kind.
pub(crate) fn list<T: Serialize>(kind: &'static str, items: &[T], format: Format) -> String {
    let items = items.iter().map(|item| document(kind, item)).collect();
    write(&List { api_version: DOCUMENT_API_VERSION, kind: format!("{kind}List"), items }, format)
}

/// A list of items that are not documents of their own.
pub(crate) fn items<T: Serialize>(kind: &'static str, items: &[T], format: Format) -> String {
    write(
        &List { api_version: DOCUMENT_API_VERSION, kind: kind.to_owned(), items: items.iter().collect() },
        format,
    )
}

/// A manifest of another API's kind.
pub(crate) fn manifest(manifest: &Value, format: Format) -> String {
    write(manifest, format)
}

fn write<T: Serialize>(what: &T, format: Format) -> String {
    // Every key of these documents is a text and every number can be written, so these calls cannot fail; if
    // one did, the error text is better than an empty document.
    let text = match format {
        Format::Json => {
            serde_json::to_string_pretty(what).map(|text| harmless_json(&text)).map_err(|e| e.to_string())
        }
        Format::Line => {
            serde_json::to_string(what).map(|text| harmless_json(&text)).map_err(|e| e.to_string())
        }
        Format::Yaml => {
            serde_yaml::to_string(what).map(|text| harmless_lines(&text)).map_err(|e| e.to_string())
        }
    };
    let mut text = text.unwrap_or_else(|why| why);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Control characters are written as `\u…`: the document stays equal.
pub(super) fn harmless_json(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut units = [0_u16; 2];
    for letter in text.chars() {
        let mut bytes = [0_u8; 4];
        let bad =
            letter != '\n' && harmless(letter.encode_utf8(&mut bytes)) != *letter.encode_utf8(&mut [0; 4]);
        if bad {
            for unit in letter.encode_utf16(&mut units) {
                put!(clean, "\\u{unit:04x}");
            }
        } else {
            clean.push(letter);
        }
    }
    clean
}

fn harmless_lines(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| match line.strip_suffix('\n') {
            Some(line) => harmless(line) + "\n",
            None => harmless(line),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Body {
        zebra: u64,
        apple: Option<f64>,
        text: &'static str,
    }

    const BODY: Body = Body { zebra: 1, apple: None, text: "a\u{202e}b\u{9b}c\u{e0041}\"" };

    #[test]
    fn the_keys_stand_in_the_order_of_the_contract() {
        assert_eq!(
            one("Thing", &BODY, Format::Line),
            "{\"apiVersion\":\"cli.emqx.io/v1alpha1\",\"kind\":\"Thing\",\"zebra\":1,\"apple\":null,\
             \"text\":\"a\\u202eb\\u009bc\\udb40\\udc41\\\"\"}\n"
        );
        let value: Value = serde_json::from_str(&one("Thing", &BODY, Format::Json)).expect("JSON");
        assert_eq!(value["text"], BODY.text, "nothing is lost");
    }

    #[test]
    fn a_list_document_names_its_kind() {
        insta::assert_snapshot!(list("Thing", &[BODY], Format::Yaml), @r#"
            apiVersion: cli.emqx.io/v1alpha1
            kind: ThingList
            items:
            - apiVersion: cli.emqx.io/v1alpha1
              kind: Thing
              zebra: 1
              apple: null
              text: "a�b\x9Bc�\""
        "#);
        insta::assert_snapshot!(items("ThingList", &[1, 2], Format::Json), @r#"
            {
              "apiVersion": "cli.emqx.io/v1alpha1",
              "kind": "ThingList",
              "items": [
                1,
                2
              ]
            }
        "#);
    }
}
