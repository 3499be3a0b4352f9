//! The subcommands, one file each: read facts, evaluate them with `plan`, act, print the result with `output`. They use
//! clusters only through [`crate::ports`], which is equal for a live and for the simulated cluster.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use crate::error::{Exit, Problem};
use crate::output::Printer;
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
pub mod limits;
pub mod list;
mod manifest;
pub mod names;
pub mod notify;
pub mod plan;
pub mod prune;
pub mod read;
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

/// The context of a command.
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

/// The result of a command.
pub type Outcome = Result<Exit, Problem>;
