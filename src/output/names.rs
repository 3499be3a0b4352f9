//! Node names, shortened to the parts that differ: letters that are equal in every row carry no information.

use std::collections::HashSet;

use super::theme::Theme;

/// The least number of letters in the hash of a pod's template; shorter words are names.
const HASH: usize = 8;

/// The number of letters of a hash that are kept.
const TAIL: usize = 4;

/// The names of an instance's nodes, each shortened, in the same order. Names that would become equal are not
/// shortened.
pub(crate) fn shorten<'a>(
    instance: Option<&str>,
    names: impl IntoIterator<Item = &'a str>,
    theme: Theme,
) -> Vec<String> {
    let names: Vec<&str> = names.into_iter().collect();
    let prefix = instance.map(|instance| format!("{instance}-")).unwrap_or_default();
    // A number alone is not a name.
    let named = |rest: &str| rest.bytes().any(|byte| !byte.is_ascii_digit());
    let common = names.iter().all(|name| name.strip_prefix(&prefix).is_some_and(named));
    let short: Vec<String> =
        names.iter().map(|name| shorter(if common { &name[prefix.len()..] } else { name }, theme)).collect();
    let different: HashSet<&String> = short.iter().collect();
    let all: HashSet<&&str> = names.iter().collect();
    if different.len() == all.len() { short } else { names.into_iter().map(str::to_owned).collect() }
}

fn shorter(name: &str, theme: Theme) -> String {
    let ellipsis = theme.symbols().ellipsis;
    let mut short = String::with_capacity(name.len());
    for (place, part) in name.split('-').enumerate() {
        if place > 0 {
            short.push('-');
        }
        let hash = part.len() >= HASH
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            && part.bytes().any(|byte| byte.is_ascii_digit());
        if hash {
            short.push_str(ellipsis);
            short.push_str(&part[part.len() - TAIL..]);
        } else {
            short.push_str(part);
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instance_and_the_hash_are_left_out_of_short_names() {
        let names = ["emqx-core-669d4cf5c8-0", "emqx-core-669d4cf5c8-1", "emqx-replicant-7d8f9-abcde"];
        assert_eq!(
            shorten(Some("emqx"), names, Theme::default()),
            ["core-…f5c8-0", "core-…f5c8-1", "replicant-7d8f9-abcde"]
        );
        let ascii = Theme { ascii: true, color: false };
        assert_eq!(shorten(Some("emqx"), names, ascii)[0], "core-..f5c8-0");
    }

    #[test]
    fn what_would_become_equal_stays() {
        let names = ["emqx-core-1669d4cf5c8-0", "emqx-core-2669d4cf5c8-0"];
        assert_eq!(shorten(Some("emqx"), names, Theme::default()), names);
        assert_eq!(
            shorten(Some("emqx-ee"), ["emqx-ee-0", "emqx-ee-1"], Theme::default()),
            ["emqx-ee-0", "emqx-ee-1"]
        );
        assert_eq!(shorten(None, ["node-1", "node-2"], Theme::default()), ["node-1", "node-2"]);
        assert_eq!(
            shorten(Some("emqx"), ["10.0.0.7", "emqx-core-0"], Theme::default()),
            ["10.0.0.7", "emqx-core-0"]
        );
    }
}
