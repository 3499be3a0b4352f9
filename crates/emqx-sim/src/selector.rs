//! Label and field selectors, as far as clients of this program write them.

use serde_json::Value;

/// A parsed pair of selectors; an object must satisfy all of both.
#[derive(Clone, Debug, Default)]
pub(super) struct Selector {
    labels: Vec<(String, Test)>,
    fields: Vec<(String, Test)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

impl Test {
    fn holds(&self, value: Option<&str>) -> bool {
        match self {
            Self::In(values) => value.is_some_and(|value| values.iter().any(|wanted| wanted == value)),
            Self::NotIn(values) => value.is_none_or(|value| values.iter().all(|wanted| wanted != value)),
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
        }
    }
}

impl Selector {
    /// Reads both selectors of a request; the error is the reason for a 400.
    pub(super) fn parse(labels: &str, fields: &str) -> Result<Self, String> {
        let labels = split(labels)
            .map(|part| requirement(part).ok_or_else(|| format!("unable to parse requirement: {part}")))
            .collect::<Result<_, _>>()?;
        let fields = split(fields)
            .map(|part| {
                let parsed =
                    requirement(part).filter(|(_, test)| matches!(test, Test::In(_) | Test::NotIn(_)));
                let (field, test) =
                    parsed.ok_or_else(|| format!("invalid selector: '{part}'; can't understand it"))?;
                if supported(&field) {
                    Ok((field, test))
                } else {
                    Err(format!("field label not supported: {field}"))
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { labels, fields })
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        let label = |name: &str| object["metadata"]["labels"].get(name).and_then(Value::as_str);
        self.labels.iter().all(|(name, test)| test.holds(label(name)))
            && self.fields.iter().all(|(path, test)| test.holds(Some(field(object, path))))
    }
}

fn supported(field: &str) -> bool {
    field.starts_with("metadata.n")
        || field.starts_with("involvedObject.")
        || field.starts_with("regarding.")
        || ["reason", "type", "source", "status.phase", "spec.nodeName", "reportingComponent"]
            .contains(&field)
}

fn field<'a>(object: &'a Value, path: &str) -> &'a str {
    let value = path.split('.').fold(object, |value, part| &value[part]);
    value.as_str().or_else(|| value["component"].as_str()).unwrap_or_default()
}

/// Splits at commas that are not inside parentheses.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    text.split(move |letter| {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        letter == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
}

fn requirement(part: &str) -> Option<(String, Test)> {
    let pair = |name: &str, test| Some((name.trim().to_owned(), test));
    if let Some((name, value)) = part.split_once("!=") {
        return pair(name, Test::NotIn(vec![value.trim().to_owned()]));
    }
    if let Some((name, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return pair(name, Test::In(vec![value.trim().to_owned()]));
    }
    if let Some((head, list)) = part.split_once('(') {
        let values: Vec<String> =
            list.strip_suffix(')')?.split(',').map(|value| value.trim().to_owned()).collect();
        let (name, word) = head.trim().rsplit_once(' ')?;
        return match word {
            "in" => pair(name, Test::In(values)),
            "notin" => pair(name, Test::NotIn(values)),
            _ => None,
        };
    }
    if part.contains(' ') {
        return None;
    }
    match part.strip_prefix('!') {
        Some(name) => pair(name, Test::Absent),
        None => pair(part, Test::Exists),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(labels: &str, fields: &str) -> bool {
        let object = json!({
            "metadata": { "name": "a-0", "namespace": "mq", "labels": { "role": "core", "instance": "a" } },
            "involvedObject": { "kind": "EMQX", "name": "a" },
        });
        Selector::parse(labels, fields).is_ok_and(|selector| selector.matches(&object))
    }

    #[test]
    fn labels_are_selected_as_kubectl_writes_them() {
        for yes in
            ["", "role=core", "role==core,instance=a", "role in (core, replicant)", "role", "!gone", "x!=y"]
        {
            assert!(holds(yes, ""), "{yes}");
        }
        for no in ["role=replicant", "role notin (core),instance", "gone", "!role", "role!=core"] {
            assert!(!holds(no, ""), "{no}");
        }
    }

    #[test]
    fn fields_are_selected_by_name_and_involved_object() {
        assert!(holds("", "metadata.name=a-0,metadata.namespace=mq"));
        assert!(holds("", "involvedObject.kind=EMQX,involvedObject.name=a"));
        assert!(!holds("", "involvedObject.name=b"));
        assert!(Selector::parse("", "spec.replicas=4").is_err());
        assert!(Selector::parse("role within (x)", "").is_err());
    }
}
