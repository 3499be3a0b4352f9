//! The result of a call of the program, and assertions about it.

use serde_json::Value;

/// The result of a call.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl std::fmt::Display for Ran {
    fn fmt(&self, form: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(form, "exit {:?}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.out, self.err)
    }
}

impl Ran {
    /// The call ended with this exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// stderr has this text, in any case.
    #[track_caller]
    pub(crate) fn reports(self, text: &str) -> Self {
        assert!(self.err.to_lowercase().contains(&text.to_lowercase()), "not reported: {text}\n{self}");
        self
    }

    /// stdout has this text.
    #[track_caller]
    pub(crate) fn shows(self, text: &str) -> Self {
        assert!(self.out.contains(text), "not shown: {text}\n{self}");
        self
    }

    /// Neither stream has this text.
    #[track_caller]
    pub(crate) fn never_reports(self, text: &str) -> Self {
        assert!(!self.out.contains(text) && !self.err.contains(text), "reported: {text}\n{self}");
        self
    }

    /// The call failed as expected: what and why on one line, a hint on another, nothing on stdout.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> Self {
        let ran = self.exits(code);
        assert_eq!(ran.out, "", "stdout is for data\n{ran}");
        assert!(ran.err.lines().any(|line| line.starts_with("error: ")), "no error\n{ran}");
        assert!(ran.err.lines().any(|line| line.starts_with("hint: ")), "no hint\n{ran}");
        assert!(!ran.err.contains("panicked"), "{ran}");
        ran
    }

    /// stdout as one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("no JSON: {error}\n{self}"))
    }

    /// stdout as JSON lines.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        let line = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON: {error}: {line}\n{self}"))
        };
        self.out.lines().map(line).collect()
    }

    /// The last JSON line is this verdict.
    #[track_caller]
    pub(crate) fn verdict(self, verdict: &str) -> Self {
        let events = self.events();
        let last = events.last().unwrap_or_else(|| panic!("no events\n{self}"));
        assert_eq!((&last["type"], &last["verdict"]), (&"verdict".into(), &verdict.into()), "{self}");
        assert!(last["message"].is_string(), "{self}");
        self
    }
}

/// The keys of an object are exactly these.
#[track_caller]
pub(crate) fn keys(value: &Value, expected: &str) {
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    let mut found: Vec<&str> = object.keys().map(String::as_str).collect();
    let mut expected: Vec<&str> = expected.split_whitespace().collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "{value:#}");
}

/// The text has no control characters for a terminal.
#[track_caller]
pub(crate) fn harmless(text: &str) {
    let bad = |letter: &char| {
        (letter.is_control() && *letter != '\n')
            || ('\u{202a}'..='\u{202e}').contains(letter)
            || ('\u{2066}'..='\u{2069}').contains(letter)
    };
    assert_eq!(text.chars().find(bad), None, "{text:?}");
}
