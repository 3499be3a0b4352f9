//! A page of Markdown, parsed as far as its tests need it.

/// A fenced block.
pub(crate) struct Block {
    /// The text after the fence.
    pub(crate) info: String,
    pub(crate) lines: Vec<String>,
}

/// A parsed page: its fenced blocks, and the prose between them, without comments.
pub(crate) fn parts(page: &str) -> (Vec<Block>, String) {
    let (mut blocks, mut prose): (Vec<Block>, String) = (Vec::new(), String::new());
    let mut open = false;
    for line in page.lines() {
        if let Some(info) = line.trim_start().strip_prefix("```") {
            open = !open;
            if open {
                blocks.push(Block { info: info.trim().to_owned(), lines: Vec::new() });
            }
        } else if open {
            blocks.last_mut().expect("one is open").lines.push(line.to_owned());
        } else if !line.starts_with("<!--") {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    assert!(!open, "a fence is not closed");
    (blocks, prose)
}

/// The code spans of prose, and the prose without them. A span may continue on the next line.
pub(crate) fn spans(prose: &str) -> (Vec<String>, String) {
    let (mut code, mut rest) = (Vec::new(), String::new());
    for paragraph in prose.split("\n\n") {
        for (place, part) in paragraph.split('`').enumerate() {
            if place % 2 == 1 {
                code.push(part.split_whitespace().collect::<Vec<_>>().join(" "));
            } else {
                rest.push_str(part);
            }
        }
        rest.push_str("\n\n");
    }
    (code, rest)
}

/// A heading as GitHub links to it.
pub(crate) fn anchor(heading: &str) -> String {
    let plain = heading.trim_start_matches('#').trim().to_lowercase();
    plain
        .chars()
        .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
        .map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}

/// The targets of the links of prose.
pub(crate) fn links(prose: &str) -> Vec<String> {
    let plain = prose.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()));
    plain.collect()
}
