//! The part of HOCON that is needed to find one value: nested and dotted keys, comments, quotes, later values
//! winning. Anything else (arrays, substitutions, includes) is skipped. It never fails: what cannot be read
//! is not found. Source of the grammar: lightbend/config `HOCON.md`; EMQX's configuration is written in it.

use std::iter::Peekable;
use std::str::Chars;

/// The last scalar that the text sets at this path.
pub(super) fn lookup(text: &str, path: &[&str]) -> Option<String> {
    let mut reader = Reader { chars: text.chars().peekable(), found: None, path };
    let mut prefix = Vec::new();
    reader.skip_blank();
    if reader.chars.peek() == Some(&'{') {
        reader.chars.next();
    }
    reader.object(&mut prefix);
    reader.found
}

struct Reader<'a> {
    chars: Peekable<Chars<'a>>,
    found: Option<String>,
    path: &'a [&'a str],
}

/// The deepest nesting that is read, deeper than any configuration: a hostile text must not exhaust the
/// stack.
const DEPTH: usize = 64;

impl Reader<'_> {
    /// Skips white space, commas and comments.
    fn skip_blank(&mut self) {
        while let Some(&char) = self.chars.peek() {
            match char {
                '#' => self.skip_line(),
                '/' if self.comment_ahead() => self.skip_line(),
                ',' | '\u{feff}' => {
                    self.chars.next();
                }
                _ if char.is_whitespace() => {
                    self.chars.next();
                }
                _ => return,
            }
        }
    }

    fn comment_ahead(&self) -> bool {
        let mut ahead = self.chars.clone();
        ahead.next() == Some('/') && ahead.next() == Some('/')
    }

    fn skip_line(&mut self) {
        for char in self.chars.by_ref() {
            if char == '\n' {
                return;
            }
        }
    }

    /// The members of an object, up to its closing brace or the end.
    fn object(&mut self, prefix: &mut Vec<String>) {
        loop {
            self.skip_blank();
            match self.chars.peek() {
                None => return,
                Some('}') => {
                    self.chars.next();
                    return;
                }
                Some(']') => {
                    self.chars.next();
                }
                Some(_) => self.member(prefix),
            }
        }
    }

    fn member(&mut self, prefix: &mut Vec<String>) {
        let keys = self.keys();
        let depth = prefix.len();
        prefix.extend(keys);
        // The separator may be missing before an object, and a value may begin on the line after it. Only one
        // separator is skipped: the value itself may begin with a colon (`:18083`).
        self.skip_space();
        if self.chars.peek() == Some(&'+') {
            self.chars.next();
        }
        if matches!(self.chars.peek(), Some('=' | ':')) {
            self.chars.next();
        }
        self.skip_space();
        match self.chars.peek() {
            Some('{') => {
                self.chars.next();
                if prefix.len() < DEPTH {
                    self.object(prefix);
                } else {
                    self.skip_nested('}');
                }
            }
            Some('[') => {
                self.chars.next();
                self.skip_nested(']');
            }
            Some('}') | None => {}
            Some(_) => {
                let value = self.scalar();
                if prefix.len() == self.path.len() && prefix.iter().zip(self.path).all(|(a, b)| a == b) {
                    self.found = Some(value);
                }
            }
        }
        prefix.truncate(depth);
    }

    fn skip_space(&mut self) {
        while self.chars.peek().is_some_and(|char| char.is_whitespace()) {
            self.chars.next();
        }
    }

    /// A key: parts separated by dots, each bare or quoted.
    fn keys(&mut self) -> Vec<String> {
        let mut keys = Vec::new();
        let mut part = String::new();
        while let Some(&char) = self.chars.peek() {
            match char {
                '"' => part.push_str(&self.quoted()),
                '.' => {
                    self.chars.next();
                    keys.push(std::mem::take(&mut part).trim().to_owned());
                }
                '=' | ':' | '{' | '}' | '\n' | '[' | '+' => break,
                _ => {
                    self.chars.next();
                    part.push(char);
                }
            }
        }
        if keys.is_empty() && part.trim().is_empty() {
            // A lone separator or bracket is skipped: otherwise the reader would stop at it forever.
            if !matches!(self.chars.peek(), Some('{' | '}')) {
                self.chars.next();
            }
        }
        keys.push(part.trim().to_owned());
        keys
    }

    /// A quoted text, with its quotes, also one in three quotes.
    fn quoted(&mut self) -> String {
        self.chars.next();
        let mut ahead = self.chars.clone();
        if ahead.next() == Some('"') && ahead.next() == Some('"') {
            self.chars.next();
            self.chars.next();
            return self.thrice_quoted();
        }
        let mut text = String::new();
        while let Some(char) = self.chars.next() {
            match char {
                '"' => break,
                '\\' => text.extend(self.chars.next()),
                _ => text.push(char),
            }
        }
        text
    }

    fn thrice_quoted(&mut self) -> String {
        let mut text = String::new();
        for char in self.chars.by_ref() {
            text.push(char);
            if text.ends_with("\"\"\"") {
                text.truncate(text.len() - 3);
                break;
            }
        }
        text
    }

    /// A value that is neither object nor array: up to the end of the line, a comma, a brace or a comment.
    fn scalar(&mut self) -> String {
        let mut text = String::new();
        while let Some(&char) = self.chars.peek() {
            match char {
                '"' => text.push_str(&self.quoted()),
                '\n' | ',' | '}' | '#' => break,
                '/' if self.comment_ahead() => break,
                '$' => {
                    // `${a.b}`: a substitution, whose brace must not end the object.
                    self.chars.next();
                    if self.chars.peek() == Some(&'{') {
                        self.chars.next();
                        self.skip_nested('}');
                    }
                }
                _ => {
                    self.chars.next();
                    text.push(char);
                }
            }
        }
        text.trim().to_owned()
    }

    /// Skips everything up to the bracket that closes the one just opened.
    fn skip_nested(&mut self, close: char) {
        let mut open = vec![close];
        while let Some(&char) = self.chars.peek() {
            match char {
                '"' => {
                    self.quoted();
                    continue;
                }
                '#' => {
                    self.skip_line();
                    continue;
                }
                '{' => open.push('}'),
                '[' => open.push(']'),
                _ if open.last() == Some(&char) => {
                    open.pop();
                }
                _ => {}
            }
            self.chars.next();
            if open.is_empty() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIND: [&str; 4] = ["dashboard", "listeners", "http", "bind"];

    #[test]
    fn every_way_of_writing_the_bind_is_found() {
        for (text, expected) in [
            ("dashboard.listeners.http.bind = 18085", Some("18085")),
            ("dashboard { listeners { http { bind = 18085 } } }", Some("18085")),
            ("dashboard.listeners {\n http.bind: \"0.0.0.0:18085\" # here\n}", Some("0.0.0.0:18085")),
            ("{\"dashboard\":{\"listeners\":{\"http\":{\"bind\":0,\"x\":[1,{\"a\":\"}\"}]}}}}", Some("0")),
            ("dashboard { listeners.http { port_max = 4, bind = :18085 // all\n } }", Some(":18085")),
            ("dashboard =\n{\n listeners : { \"http\" = { bind = \"\"\"18085\"\"\" } }\n}", Some("18085")),
            ("dashboard.listeners.http.bind = 1\ndashboard.listeners.http.bind = 2", Some("2")),
            ("a = ${dashboard}\nb = [ { x = \"}\" } ]\ndashboard.listeners.http.bind = 7", Some("7")),
            ("# dashboard.listeners.http.bind = 9", None),
            ("dashboard.listeners.https.bind = 9", None),
            ("x { dashboard.listeners.http.bind = 9 }", None),
            ("password = \"a#b{\"\ndashboard.listeners.http.bind = 9", Some("9")),
            (
                "sql = \"\"\"SELECT * FROM \"t/#\" { \"\"\"\ndashboard { listeners { http { bind = 9 }}}",
                Some("9"),
            ),
            ("", None),
        ] {
            assert_eq!(lookup(text, &BIND).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn broken_text_never_hangs_or_panics() {
        for text in [
            "{{{{", "}}}}", "]]]", "===", "a", "a.", ".", "\"", "a = \"", "a = ${", "a = [", "+=", "a {\n",
            "/", "a : : b",
        ] {
            assert_eq!(lookup(text, &BIND), None, "{text}");
        }
        assert_eq!(lookup(&"a{".repeat(10_000), &BIND), None);
    }
}
