//! Commands that are printed for the user reach the same cluster as the command that prints them: they repeat
//! the flags that selected the cluster. A token is never repeated.

use std::borrow::Cow;

/// The subcommands that contact a cluster.
const SUBCOMMANDS: [&str; 11] = [
    "check",
    "drain",
    "evacuate",
    "history",
    "nodes",
    "rebalance",
    "report",
    "scale",
    "status",
    "upgrade",
    "watch",
];

/// kubectl's own commands that hints name.
const OF_KUBECTL: [&str; 10] =
    ["annotate", "apply", "auth", "delete", "describe", "drain", "edit", "get", "logs", "patch"];

/// The flags of this call that selected the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterFlags {
    namespace: String,
    /// ` --context prod`
    kubernetes: String,
    /// ` --emqx-url http://10.0.0.7:18083 --api-key-file key`
    emqx: String,
}

impl ClusterFlags {
    /// The flags of a namespace; an empty one is none.
    pub(crate) fn new(namespace: Option<&str>) -> Self {
        let namespace = namespace.filter(|namespace| !namespace.is_empty());
        let namespace = namespace.map(|it| format!(" -n {}", quoted(it))).unwrap_or_default();
        Self { namespace, ..Self::default() }
    }

    /// Adds a flag of kubectl and its value, where it has one.
    pub(crate) fn kubernetes(&mut self, flag: &str, value: Option<&str>) {
        add(&mut self.kubernetes, flag, value);
    }

    /// Adds a flag that reaches EMQX and its value, where it has one.
    pub(crate) fn emqx(&mut self, flag: &str, value: Option<&str>) {
        add(&mut self.emqx, flag, value);
    }

    /// The flags that reach EMQX, each after a blank.
    pub(crate) fn of_emqx(&self) -> &str {
        &self.emqx
    }

    /// A command with the flags at its end; of a pipeline at the command that they belong to.
    pub(crate) fn command(&self, command: &str) -> String {
        if command.contains(" | ") {
            return self.text(command).into_owned();
        }
        let Some(rest) = command.strip_prefix("kubectl ") else { return command.to_owned() };
        format!("{command}{}", self.flags(rest, rest))
    }

    /// A text with the flags in each command that it names, directly after `kubectl` or the plugin, because
    /// sentences continue after a command.
    pub(crate) fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.namespace.is_empty() && self.kubernetes.is_empty() && self.emqx.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        let mut parts = text.split("kubectl ");
        out.push_str(parts.next().unwrap_or_default());
        for part in parts {
            out.push_str("kubectl ");
            let command = part.split([';', '\n']).next().unwrap_or_default();
            let flags = self.flags(part, command);
            let rest = part.strip_prefix("emqx ");
            match flags.trim_start() {
                "" => out.push_str(part),
                flags => {
                    let (name, rest) = rest.map_or(("", part), |rest| ("emqx ", rest));
                    out.extend([name, flags, " ", rest]);
                }
            }
        }
        Cow::Owned(out)
    }

    /// The flags of the command that this text begins with, after `kubectl `; `command` is the part that may have its own.
    fn flags(&self, text: &str, command: &str) -> String {
        let begins = |words: &[&str], text: &str| {
            let word = text.split(|it: char| !it.is_ascii_lowercase()).next().unwrap_or_default();
            words.contains(&word)
        };
        let has = |flag: &str| command.split_whitespace().any(|word| word == flag);
        let kubernetes = if has("--context") { "" } else { self.kubernetes.as_str() };
        match text.strip_prefix("emqx ") {
            Some(rest) if begins(&SUBCOMMANDS, rest) => {
                let namespace = if has("-n") || has("-A") { "" } else { self.namespace.as_str() };
                let emqx = if has("--emqx-url") { "" } else { self.emqx.as_str() };
                format!("{namespace}{kubernetes}{emqx}")
            }
            None if begins(&OF_KUBECTL, text) => kubernetes.to_owned(),
            Some(_) | None => String::new(),
        }
    }
}

fn add(flags: &mut String, flag: &str, value: Option<&str>) {
    flags.extend([" --", flag]);
    if let Some(value) = value {
        flags.extend([" ", &quoted(value)]);
    }
}

/// A word, quoted for a POSIX shell.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |it: char| it.is_ascii_alphanumeric() || "_-./:@%+=,~\\".contains(it);
    if !word.is_empty() && word.chars().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', "'\\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> ClusterFlags {
        let mut flags = ClusterFlags::new(Some("prod"));
        flags.kubernetes("context", Some("eu west"));
        flags.emqx("emqx-url", Some("http://10.0.0.7:18083"));
        flags.emqx("api-key-file", Some("/etc/key"));
        flags
    }

    const ALL: &str = "-n prod --context 'eu west' --emqx-url http://10.0.0.7:18083 --api-key-file /etc/key";

    #[test]
    fn each_command_of_a_sentence_reaches_the_same_cluster() {
        let text = "kubectl emqx drain a continues; kubectl emqx drain a --undo puts it back";
        let expected =
            format!("kubectl emqx {ALL} drain a continues; kubectl emqx {ALL} drain a --undo puts it back");
        assert_eq!(flags().text(text), expected);
        assert_eq!(flags().command("kubectl emqx nodes emqx"), format!("kubectl emqx nodes emqx {ALL}"));
    }

    #[test]
    fn kubectl_has_no_flags_of_emqx_and_keeps_the_namespace_that_is_printed() {
        assert_eq!(
            flags().text("see: kubectl get pdb -n mq emqx"),
            "see: kubectl --context 'eu west' get pdb -n mq emqx"
        );
        assert_eq!(flags().command("kubectl drain w-1"), "kubectl drain w-1 --context 'eu west'");
        assert_eq!(
            flags().command("kubectl get pods -A | grep emqx-operator"),
            "kubectl --context 'eu west' get pods -A | grep emqx-operator"
        );
    }

    #[test]
    fn what_a_command_has_already_is_not_repeated() {
        let mut namespace = ClusterFlags::new(Some("prod"));
        for text in [
            "kubectl emqx status -A lists every one",
            "name one of them: kubectl emqx watch -n other emqx",
            "kubectl emqx demo plays one",
            "the plugin is called kubectl emqx",
            "kubectl krew install emqx",
            "no command at all",
        ] {
            assert_eq!(namespace.text(text), text);
        }
        namespace.emqx("emqx-insecure", None);
        assert_eq!(
            namespace.text("kubectl emqx status -A lists every one"),
            "kubectl emqx --emqx-insecure status -A lists every one"
        );
        assert_eq!(ClusterFlags::default().text("kubectl emqx nodes"), "kubectl emqx nodes");
    }

    #[test]
    fn a_quote_in_a_path_stays_one_word_of_the_shell() {
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
        assert_eq!(quoted(""), "''");
    }
}
