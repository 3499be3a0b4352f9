//! The commands in a piece of shell, and those of this program.

/// The placeholder for a word of the reader.
pub(crate) const BLANK: &str = "value";

/// The commands of a piece of shell, each as words; without redirections and comments.
pub(crate) fn commands(shell: &str) -> Vec<Vec<String>> {
    let (mut all, mut words, mut word) = (vec![], vec![], None::<String>);
    let mut letters = shell.chars().peekable();
    let mut redirected = false;
    let end = |word: &mut Option<String>, words: &mut Vec<String>, redirected: &mut bool| {
        if let Some(word) = word.take()
            && !std::mem::take(redirected)
        {
            words.push(word);
        }
    };
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek() == Some(&'\n') => drop(letters.next()),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                word.extend(letters.by_ref().take_while(|inside| *inside != letter));
            }
            '#' if word.is_none() => while letters.next_if(|inside| *inside != '\n').is_some() {},
            '>' | '<' => {
                // `2>` is not a word, and a file follows.
                if word.as_deref().is_none_or(|word| word.parse::<u8>().is_err()) {
                    end(&mut word, &mut words, &mut redirected);
                }
                word = None;
                redirected = true;
            }
            '&' if redirected => {}
            '|' | ';' | '&' | '(' | ')' | '\n' => {
                end(&mut word, &mut words, &mut redirected);
                redirected = false;
                all.push(std::mem::take(&mut words));
            }
            ' ' | '\t' => end(&mut word, &mut words, &mut redirected),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    end(&mut word, &mut words, &mut redirected);
    all.push(words);
    all.retain(|words| !words.is_empty());
    all
}

/// The words after `kubectl emqx`, for a command of this program; a prompt, a key of YAML or a variable may
/// precede it.
pub(crate) fn ours(words: &[String]) -> Option<Vec<String>> {
    // Run from the sources: `cargo run [-q] -- status`.
    if let ["cargo", "run", rest @ ..] = &words.iter().map(String::as_str).collect::<Vec<_>>()[..]
        && let Some(place) = rest.iter().position(|word| *word == "--")
        && rest[..place].iter().all(|word| *word == "-q")
    {
        return Some(words[place + 3..].to_vec());
    }
    let place = words.iter().position(|word| matches!(word.as_str(), "kubectl" | "kubectl-emqx"))?;
    let before = |word: &String| {
        matches!(word.as_str(), "$" | "-" | "run:" | "if" | "then" | "!" | "next:") || word.contains('=')
    };
    if !words[..place].iter().all(before) {
        return None;
    }
    let rest = match (words[place].as_str(), words.get(place + 1).map(String::as_str)) {
        ("kubectl-emqx", _) => &words[place + 1..],
        ("kubectl", Some("emqx")) => &words[place + 2..],
        _ => return None,
    };
    // NAME and $name are placeholders for the reader's names.
    let given = |word: &String| {
        let blank = word.len() > 1 && word.chars().all(|letter| letter.is_ascii_uppercase());
        if blank || word.starts_with('$') { BLANK.to_owned() } else { word.clone() }
    };
    Some(rest.iter().map(given).collect())
}

/// GitHub's `${{ … }}` is one word.
pub(crate) fn without_expressions(text: &str) -> String {
    let mut parts = text.split("${{");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(BLANK);
        plain.push_str(part.split_once("}}").map_or(part, |(_, rest)| rest));
    }
    plain
}

#[test]
fn a_command_is_found_in_shell_yaml_and_output() {
    let found = |shell: &str| -> Vec<String> {
        let all = commands(&without_expressions(shell));
        all.iter().filter_map(|words| ours(words)).map(|words| words.join(" ")).collect()
    };
    assert_eq!(found("$ kubectl emqx status 2>&1 | tee a.txt   # look"), ["status"]);
    assert_eq!(found("run: kubectl emqx rebalance watch ${{ a.b }} -n x"), ["rebalance watch value -n x"]);
    assert_eq!(found("name=$(kubectl emqx rebalance apply \"$c\" --yes)"), ["rebalance apply value --yes"]);
    assert_eq!(
        found("kubectl emqx replay \\\n  a.jsonl > b.txt; kubectl-emqx nodes"),
        ["replay a.jsonl", "nodes"]
    );
    assert_eq!(
        found("cargo run -- demo; cargo run -q -- status; cargo run -p other -- demo"),
        ["demo", "status"]
    );
    assert_eq!(found("kubectl get pods; hint: kubectl emqx is no command here"), [""; 0]);
}
