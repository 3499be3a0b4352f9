//! The subcommands, one file each: read facts, evaluate them with `plan`, act, print the result with `output`. They use
//! clusters only through [`crate::ports`], which is equal for a live and for the simulated cluster.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use crate::error::{Exit, Problem};
use crate::output::Printer;
use crate::plan::results::Stopped;
use crate::ports::history::StateFolder;
use crate::ports::{Brokers, Clock, Kubernetes, RecordingSink};

pub mod apply;
pub mod check;
pub mod cluster_view;
pub mod confirmation;
mod deletion;
pub mod demo;
pub mod drain;
pub mod evacuate;
mod fact_loop;
pub mod follow;
pub mod follow_output;
pub mod generate;
pub mod history;
mod limit_stop;
pub mod limits;
pub mod list;
mod manifest;
pub mod names;
pub mod notify;
pub mod plan;
pub mod prune;
pub mod read;
pub mod rebalance_target;
mod removal;
pub mod replay;
pub mod report;
pub mod scale;
pub mod stop;
mod surroundings;
pub mod upgrade;
pub mod version;
pub mod watch;
pub mod watch_plain;

#[derive(Clone)]
pub struct CommandContext {
    /// The Kubernetes API.
    pub kubernetes: Rc<dyn Kubernetes>,
    /// EMQX's API.
    pub brokers: Rc<dyn Brokers>,
    /// The server's clock.
    pub clock: Rc<dyn Clock>,
    /// The kubeconfig's context, where there is one.
    pub context: Option<String>,
    /// The namespace when none is named.
    pub namespace: String,
    /// The output of the command.
    pub printer: Rc<Printer>,
    pub notices: Notices,
    /// The API server's address, for messages; `None` without Kubernetes.
    pub server: Option<String>,
    /// Whether stdin is a terminal: without one there is no prompt.
    pub interactive: bool,
    /// The recorder of everything that is read, with `--record`.
    pub tap: Option<Rc<dyn RecordingSink>>,
    /// The user's own state folder; `None` where nothing is written to it.
    pub folder: Option<Rc<dyn StateFolder>>,
    /// Makes a future that ends when the user interrupts.
    pub interrupt: Rc<dyn Fn() -> Interrupt>,
}

/// Ends when the user interrupts.
pub type Interrupt = Pin<Box<dyn Future<Output = ()>>>;

/// The exit code of a command that was carried out.
pub type Outcome = Result<Exit, Problem>;

/// The result of a command that changes a cluster. The command prints it as well; the full-screen view and the limits of an
/// operation read it here.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeResult {
    pub exit: Exit,
    /// The names of what was created or started.
    pub created: Vec<String>,
    pub stopped: Vec<Stopped>,
    /// Why there was nothing to do.
    pub unchanged: Option<String>,
}

impl ChangeResult {
    fn unchanged(exit: Exit, why: impl Into<String>) -> Self {
        Self { exit, created: Vec::new(), stopped: Vec::new(), unchanged: Some(why.into()) }
    }

    fn created(exit: Exit, created: Vec<String>) -> Self {
        Self { exit, created, stopped: Vec::new(), unchanged: None }
    }

    fn stopped(exit: Exit, stopped: Vec<Stopped>) -> Self {
        Self { exit, created: Vec::new(), stopped, unchanged: None }
    }
}

/// Where the notices of a command go.
#[derive(Clone, Debug, Default)]
pub enum Notices {
    /// To the printer.
    #[default]
    Printed,
    /// Into a list, for a caller that shows them in another form.
    Collected(Rc<RefCell<Vec<String>>>),
}

impl CommandContext {
    /// Reports a notice; equal notices once.
    pub(crate) fn notice(&self, text: &str) {
        match &self.notices {
            Notices::Printed => self.printer.notice(text),
            Notices::Collected(list) => list.borrow_mut().extend(self.printer.new_notice(text)),
        }
    }
}
