//! `jsonpath=TEMPLATE`: the part of kubectl's dialect that selects fields. Text outside braces is copied;
//! braces contain quoted text, a path of `.field`, `[n]` and `[*]`, or `range PATH` … `end`.

/// A parsed template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(pub Vec<TemplatePart>);

/// One piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    Text(String),
    /// The values at a path.
    Path(Vec<PathStep>),
    /// The inner parts, for each value at a path.
    Range(Vec<PathStep>, Vec<TemplatePart>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathStep {
    /// A field of an object.
    Field(String),
    /// An item of a list; from its end when negative.
    Index(i64),
    /// Every item of a list.
    All,
}

/// The content of braces.
enum Action {
    Part(TemplatePart),
    Range(Vec<PathStep>),
    End,
}

impl Template {
    /// Parses a template; the error is the reason.
    pub fn parse(text: &str) -> Result<Self, String> {
        // The open ranges: the path of each, and the parts before it.
        let mut open: Vec<(Vec<PathStep>, Vec<TemplatePart>)> = Vec::new();
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, inner)) = rest.split_once('{') {
            if !before.is_empty() {
                parts.push(TemplatePart::Text(before.to_owned()));
            }
            let end = close(inner).ok_or("a `{` is not closed")?;
            rest = &inner[end + 1..];
            match action(inner[..end].trim())? {
                Action::Part(part) => parts.push(part),
                Action::Range(path) => open.push((path, std::mem::take(&mut parts))),
                Action::End => {
                    let (path, outer) = open.pop().ok_or("an `end` has no range before it")?;
                    let inner = std::mem::replace(&mut parts, outer);
                    parts.push(TemplatePart::Range(path, inner));
                }
            }
        }
        if !open.is_empty() {
            return Err("a `range` has no {end}".to_owned());
        }
        if !rest.is_empty() {
            parts.push(TemplatePart::Text(rest.to_owned()));
        }
        if parts.is_empty() { Err("there is no template".to_owned()) } else { Ok(Self(parts)) }
    }
}

/// The position of the brace that closes this text; braces within quotes do not.
fn close(text: &str) -> Option<usize> {
    let (mut quote, mut escaped) = (None, false);
    for (at, letter) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if letter == '\\' => escaped = true,
            Some(mark) if letter == mark => quote = None,
            None if matches!(letter, '"' | '\'') => quote = Some(letter),
            None if letter == '}' => return Some(at),
            _ => {}
        }
    }
    None
}

fn action(text: &str) -> Result<Action, String> {
    if let Some(mark) = text.chars().next().filter(|mark| matches!(mark, '"' | '\'')) {
        return quoted(&text[1..], mark).map(|text| Action::Part(TemplatePart::Text(text)));
    }
    if text == "end" {
        return Ok(Action::End);
    }
    match text.strip_prefix("range ") {
        Some(inner) => path(inner.trim()).map(Action::Range),
        None => path(text).map(|path| Action::Part(TemplatePart::Path(path))),
    }
}

fn beyond(text: &str) -> String {
    format!("`{text}` is more than .field, [n], [*], range … end and quoted text")
}

/// A text up to its closing mark, which must be the last character.
fn quoted(text: &str, mark: char) -> Result<String, String> {
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '\\' => match letters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(same @ ('\\' | '"' | '\'')) => same,
                other => return Err(beyond(&format!("\\{}", other.unwrap_or_default()))),
            },
            letter if letter == mark => {
                let after = letters.as_str();
                return if after.is_empty() { Ok(plain) } else { Err(beyond(after.trim())) };
            }
            letter => letter,
        });
    }
    Err("a quoted text does not end".to_owned())
}

fn path(text: &str) -> Result<Vec<PathStep>, String> {
    let good = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (index, after) = inner.split_once(']').ok_or_else(|| beyond(rest))?;
            steps.push(match (index, index.parse()) {
                ("*", _) => PathStep::All,
                (_, Ok(index)) => PathStep::Index(index),
                _ => return Err(beyond(&format!("[{index}]"))),
            });
            rest = after;
        } else {
            let name = rest.strip_prefix('.').ok_or_else(|| beyond(rest))?;
            let end = name.find(|letter| !good(letter)).unwrap_or(name.len());
            if end == 0 {
                return Err(beyond(rest));
            }
            steps.push(PathStep::Field(name[..end].to_owned()));
            rest = &name[end..];
        }
    }
    if steps.is_empty() { Err("`{}` is empty".to_owned()) } else { Ok(steps) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_fields_and_ranges_is_a_usage_error() {
        for text in [
            "{..name}",
            "{.items[0:2]}",
            "{.items[?(@.a==1)]}",
            "{.a.*}",
            "{$.a}",
            "{@}",
            "{.}",
            "{a}",
            "{.a\\.b}",
            "{['a']}",
            "{.a['b','c']}",
            "{.items[0,1]}",
            "{.items[]}",
            "{.a .b}",
            "{\"a\" \"b\"}",
            "{\"\\x41\"}",
            "{range}",
            "{.items[0}",
        ] {
            let why = Template::parse(text).expect_err(text);
            assert!(why.contains(" is more than "), "{text}: {why}");
        }
        for text in ["{.a", "{\"a}", "{end}", "{range .a}x", "", "{}", "a{{.b}}"] {
            Template::parse(text).expect_err(text);
        }
    }

    #[test]
    fn ranges_nest_and_text_stays() {
        let field = |name: &str| PathStep::Field(name.to_owned());
        assert_eq!(
            Template::parse("a\\n{ range .x[*] }{range .y[-1]}{'}\\t'}{end}{ .z-1 }{end }}"),
            Ok(Template(vec![
                TemplatePart::Text("a\\n".to_owned()),
                TemplatePart::Range(
                    vec![field("x"), PathStep::All],
                    vec![
                        TemplatePart::Range(
                            vec![field("y"), PathStep::Index(-1)],
                            vec![TemplatePart::Text("}\t".to_owned())]
                        ),
                        TemplatePart::Path(vec![field("z-1")]),
                    ]
                ),
                TemplatePart::Text("}".to_owned()),
            ]))
        );
    }
}
