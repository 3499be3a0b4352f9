//! The connection to one cluster, and what was discovered of it.

use std::cell::RefCell;
use std::rc::Rc;

use jiff::Timestamp;
use serde_json::Value;

use super::api::Api;
use super::client::Connect;
use super::clock::ServerClock;
use super::discovery;
use crate::error::Problem;
use crate::model::{FIELD_MANAGER, Served};
use crate::ports::{Clock, RecordingSink};

/// A Kubernetes cluster; clones share the connection, the clock and the discovered APIs.
#[derive(Clone)]
pub struct Cluster {
    pub(super) api: Api,
    pub(super) context: Option<String>,
    pub(super) namespace: String,
    pub(super) field_manager: String,
    pub(super) tap: Option<Rc<dyn RecordingSink>>,
    pub(super) served: Rc<RefCell<Option<Served>>>,
    pub(super) warnings: Vec<String>,
}

impl Cluster {
    /// A cluster by flags and kubeconfig. Nothing is contacted yet, but a login command may run.
    pub async fn connect(connect: &Connect) -> Result<Self, Problem> {
        let connection = connect.open().await?;
        Ok(Self {
            api: connection.api,
            context: connection.context,
            namespace: connection.namespace,
            field_manager: FIELD_MANAGER.to_owned(),
            tap: None,
            served: Rc::default(),
            warnings: connection.warnings,
        })
    }

    /// A cluster that is reached by this client. `server` names it in messages.
    pub fn of_client(client: kube::Client, server: &str, namespace: &str) -> Self {
        let (clock, server) = (ServerClock::new(), server.to_owned());
        Self {
            api: Api { client, clock, server, timeout: None, transport: None },
            context: None,
            namespace: namespace.to_owned(),
            field_manager: FIELD_MANAGER.to_owned(),
            tap: None,
            served: Rc::default(),
            warnings: Vec::new(),
        }
    }

    /// The same; a recorder receives everything that comes from the cluster.
    #[must_use]
    pub(crate) fn with_tap(mut self, tap: Rc<dyn RecordingSink>) -> Self {
        self.tap = Some(tap);
        self
    }

    /// The same, for a command that asks EMQX through port-forward: over a slow link its connection is opened early.
    #[must_use]
    pub(crate) fn expecting_tunnels(self) -> Self {
        if let Some(transport) = &self.api.transport {
            transport.expect_forward();
        }
        self
    }

    /// The same, writing under another field manager.
    #[must_use]
    pub(crate) fn with_field_manager(mut self, name: impl Into<String>) -> Self {
        self.field_manager = name.into();
        self
    }

    /// The server's clock, shared.
    pub fn clock(&self) -> ServerClock {
        self.api.clock.clone()
    }

    /// The namespace of the flag or the context, else `default`.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name of the context; `None` within a pod or with `--server` alone.
    pub(crate) fn context(&self) -> Option<&str> {
        self.context.as_deref()
    }

    /// Warnings about the way to the API server.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The API server's address, for messages.
    pub(crate) fn server(&self) -> &str {
        &self.api.server
    }

    pub(super) fn now(&self) -> Timestamp {
        self.api.clock.now()
    }

    pub(super) fn tap(&self, event: &str, object: &Value) {
        if let Some(tap) = &self.tap {
            tap.kubernetes(self.now(), event, object);
        }
    }

    /// The served APIs, requested once.
    pub(super) async fn known(&self) -> Result<Served, Problem> {
        let known = self.served.borrow().clone();
        match known {
            Some(served) => Ok(served),
            None => self.discover().await,
        }
    }

    pub(super) async fn discover(&self) -> Result<Served, Problem> {
        let served = discovery::served(&self.api).await?;
        *self.served.borrow_mut() = Some(served.clone());
        Ok(served)
    }
}
