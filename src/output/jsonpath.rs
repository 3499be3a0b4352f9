//! The values that `jsonpath=TEMPLATE` selects from a document, written as kubectl writes them: results
//! separated by a blank, objects and lists as JSON, nothing for an absent field, no final line end. Numbers
//! are written as in the document, where kubectl would write 1e+06.

use serde_json::Value;

use super::document::harmless_json;
use crate::model::human::harmless;
use crate::model::jsonpath::{PathStep, Template, TemplatePart};

/// The selected text; or why a path selects nothing, with kubectl's message.
pub fn pick(template: &Template, document: &Value) -> Result<String, String> {
    let mut text = String::new();
    write(&template.0, document, &mut text)?;
    Ok(text)
}

fn write(parts: &[TemplatePart], value: &Value, text: &mut String) -> Result<(), String> {
    for part in parts {
        match part {
            TemplatePart::Text(own) => text.push_str(own),
            TemplatePart::Path(path) => {
                let found: Vec<String> = follow(path, value)?.into_iter().map(plain).collect();
                text.push_str(&found.join(" "));
            }
            TemplatePart::Range(path, inner) => {
                for item in follow(path, value)? {
                    write(inner, item, text)?;
                }
            }
        }
    }
    Ok(())
}

fn follow<'a>(path: &[PathStep], value: &'a Value) -> Result<Vec<&'a Value>, String> {
    let mut found = vec![value];
    for step in path {
        let mut next = Vec::new();
        for value in found.into_iter().filter(|value| !value.is_null()) {
            match step {
                PathStep::Field(name) => next.extend(value.get(name)),
                PathStep::All => next.extend(list(value)?),
                PathStep::Index(index) => {
                    let items = list(value)?;
                    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
                    let at = if *index < 0 { index + length } else { *index };
                    let item = usize::try_from(at).ok().and_then(|at| items.get(at));
                    next.push(
                        item.ok_or_else(|| {
                            format!("array index out of bounds: index {at}, length {length}")
                        })?,
                    );
                }
            }
        }
        found = next;
    }
    Ok(found)
}

fn list(value: &Value) -> Result<&Vec<Value>, String> {
    value.as_array().ok_or_else(|| format!("{} is not a list", plain(value)))
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => harmless(text),
        other => harmless_json(&other.to_string()),
    }
}
