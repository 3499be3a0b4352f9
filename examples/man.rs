//! The manual pages, from the command tree: `cargo run --example man -- FOLDER` writes one for the program and one for
//! every command. They are made when a release is packed and are not in the binary.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use clap::Command;
use clap_mangen::Man;
use kubectl_emqx::cli;

fn main() -> io::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder =
        folder.ok_or_else(|| io::Error::other("into which folder? cargo run --example man -- FOLDER"))?;
    std::fs::create_dir_all(&folder)?;
    for (file, text) in pages()? {
        std::fs::write(folder.join(file), text)?;
    }
    Ok(())
}

/// Every page: the name of its file, and its text.
pub(crate) fn pages() -> io::Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    page(&cli::command(), "kubectl-emqx", &mut all)?;
    Ok(all)
}

fn page(command: &Command, name: &str, all: &mut Vec<(String, String)>) -> io::Result<()> {
    let verbs: Vec<&Command> =
        command.get_subcommands().filter(|verb| verb.get_name() != "help" && !verb.is_hide_set()).collect();
    let root = all.is_empty();
    // The flags that every command has are listed once; no other flag is left out.
    let mut own = command
        .clone()
        .display_name(name.to_owned())
        .mut_args(|arg| arg.hide_short_help(false))
        .mut_args(|arg| if arg.is_global_set() && !root { arg.hide(true) } else { arg });
    for verb in &verbs {
        // The list of commands leads to their pages.
        let title = format!("{name}-{}", verb.get_name());
        own = own.mut_subcommand(verb.get_name(), |it| it.display_name(title));
    }
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let man = Man::new(own)
        .title(name.to_uppercase())
        .source(format!("kubectl-emqx {}", env!("CARGO_PKG_VERSION")))
        .manual("kubectl emqx");
    let mut text: Vec<u8> = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if !verbs.is_empty() {
        man.render_subcommands_section(&mut text)?;
    }
    let mut text = String::from_utf8(text).map_err(io::Error::other)? + &sections(&after);
    if !root {
        text.push_str(".SH SEE ALSO\nkubectl\\-emqx(1) has the flags of every verb, the exit codes and the environment.\n");
    }
    all.push((format!("{name}.1"), text));
    for verb in verbs {
        page(verb, &format!("{name}-{}", verb.get_name()), all)?;
    }
    Ok(())
}

/// The text under the flags in the help: each `Title:` becomes a section, its lines stay as they are.
fn sections(after: &str) -> String {
    let mut text = String::new();
    for part in after.split("\n\n") {
        let Some((title, lines)) = part.split_once(":\n") else { continue };
        let _ = writeln!(text, ".SH {}\n.nf", title.to_uppercase());
        for line in lines.lines() {
            // A dash that can be copied; and no line that begins as a request to roff would.
            let _ = writeln!(text, "\\&{}", line.replace('\\', "\\e").replace('-', "\\-"));
        }
        text.push_str(".fi\n");
    }
    text
}
