//! `--notify`: runs a command of the user for each event that matters; it never delays or ends the followed
//! operation.

use std::collections::VecDeque;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;

use super::CommandContext;
use crate::model::limits::CommandLine;
use crate::model::{Event, EventType};
use crate::output::document::{self, Format};
use crate::timing::NOTIFY_TIMEOUT;

/// Commands that run at the same time; further events wait until one of them ends.
const MAX_RUNNING_COMMANDS: usize = 8;

/// Events that wait; beyond this number the oldest is dropped. The verdict is the last event: it is never
/// dropped.
const MOST_WAITING: usize = 64;

/// Runs the command of `--notify`.
pub struct Notifier {
    command: CommandLine,
    began: bool,
    waiting: VecDeque<String>,
    running: Vec<JoinHandle<Result<(), String>>>,
    failed: bool,
}

impl Notifier {
    /// A notifier that has run nothing so far.
    pub(crate) fn new(command: CommandLine) -> Self {
        Self { command, began: false, waiting: VecDeque::new(), running: Vec::new(), failed: false }
    }

    /// Whether the command is run for this event: the first event, warnings, and the verdict.
    fn matters(&mut self, event: &Event) -> bool {
        let first = !std::mem::replace(&mut self.began, true);
        first || matches!(event.kind, EventType::Created | EventType::Notice | EventType::Verdict)
    }

    /// Starts the command for an event that matters, or queues the event while commands still run.
    pub(crate) fn take(&mut self, event: &Event) {
        if !self.matters(event) {
            return;
        }
        if self.waiting.len() >= MOST_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(document::one("Event", event, Format::Line));
        self.start();
    }

    fn start(&mut self) {
        while self.running.len() < MAX_RUNNING_COMMANDS
            && let Some(text) = self.waiting.pop_front()
        {
            self.running.push(tokio::spawn(run(self.command.clone(), text)));
        }
    }

    /// Reports a command that failed, once; `all` waits for running commands and queued events.
    pub(crate) async fn collect(&mut self, context: &CommandContext, all: bool) {
        loop {
            self.ended(context, all).await;
            self.start();
            if !all || self.running.is_empty() {
                return;
            }
        }
    }

    async fn ended(&mut self, context: &CommandContext, all: bool) {
        for handle in std::mem::take(&mut self.running) {
            if !all && !handle.is_finished() {
                self.running.push(handle);
                continue;
            }
            if let Ok(Err(why)) = handle.await
                && !std::mem::replace(&mut self.failed, true)
            {
                let program = &self.command.program;
                context.notice(&format!("--notify {program}: {why}; later failures are not reported"));
            }
        }
    }
}

/// Runs the command once. Its output is not shown: stdout is for data.
async fn run(command: CommandLine, text: String) -> Result<(), String> {
    let mut child = tokio::process::Command::new(&command.program)
        .args(&command.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot be started: {error}"))?;
    let stdin = child.stdin.take();
    let whole = async {
        if let Some(mut stdin) = stdin {
            // A command that does not read its stdin may close it: that is not a failure.
            let _ = stdin.write_all(text.as_bytes()).await;
        }
        child.wait().await
    };
    match tokio::time::timeout(NOTIFY_TIMEOUT, whole).await {
        Err(_) => Err(format!("did not end within {}s and was killed", NOTIFY_TIMEOUT.as_secs())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("failed with {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Operation;

    fn line(program: &str, arguments: &[&str]) -> CommandLine {
        CommandLine {
            program: program.to_owned(),
            arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
        }
    }

    fn event(kind: EventType) -> Event {
        let now = jiff::Timestamp::UNIX_EPOCH;
        Event::of(now, kind, Operation::Rebalance, "a".to_owned(), "b".to_owned())
    }

    #[test]
    fn a_command_learns_of_the_start_warnings_and_the_verdict() {
        let mut notifier = Notifier::new(line("true", &[]));
        assert!(notifier.matters(&event(EventType::Phase)), "the first event is the start");
        assert!(
            !notifier.matters(&event(EventType::Phase)) && !notifier.matters(&event(EventType::Progress))
        );
        assert!(notifier.matters(&event(EventType::Notice)) && notifier.matters(&event(EventType::Verdict)));
    }

    #[tokio::test]
    async fn the_verdict_is_not_lost_behind_many_warnings() {
        let mut notifier = Notifier::new(line("true", &[]));
        for _ in 0..200 {
            notifier.take(&event(EventType::Notice));
        }
        assert_eq!((notifier.running.len(), notifier.waiting.len()), (MAX_RUNNING_COMMANDS, MOST_WAITING));
        notifier.take(&event(EventType::Verdict));
        assert!(notifier.waiting.back().is_some_and(|text| text.contains("\"type\":\"verdict\"")));
        assert_eq!(notifier.waiting.len(), MOST_WAITING);
    }

    #[tokio::test]
    async fn the_event_is_on_stdin_and_no_shell_reads_the_arguments() {
        let text = document::one("Event", &event(EventType::Verdict), Format::Line);
        // `grep` fails unless its pattern, including the dollar sign, is on its stdin.
        assert_eq!(run(line("grep", &["-q", "\"kind\":\"Event\""]), text.clone()).await, Ok(()));
        assert!(run(line("grep", &["-q", "$HOME"]), text.clone()).await.is_err());
        assert_eq!(run(line("true", &[]), text.repeat(10_000)).await, Ok(()), "stdin is not read");
        let missing = run(line("/no/such/program", &[]), text.clone()).await;
        assert!(missing.is_err_and(|why| why.contains("cannot be started")));
        let failed = run(line("false", &[]), text).await;
        assert!(failed.is_err_and(|why| why.contains("failed")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_hangs_is_killed_after_its_time() {
        let hung = run(line("sleep", &["86400"]), String::new()).await;
        assert!(hung.is_err_and(|why| why.contains("did not end within 10s")));
    }
}
