//! EMQX's own REST API, v4 and v5, as facts and actions: the only module that calls EMQX.
//!
//! ```text
//! endpoint.rs (pod or URL, key) ─► http.rs (one kept-alive connection) ─► shared.rs (which pod next) ─► rounds.rs, client.rs
//!                                                                           ├─ wire.rs     answers ─► Fact
//!                                                                           ├─ request.rs  paths and bodies
//!                                                                           ├─ report.rs, topology.rs, start_counts.rs
//!                                                                           ├─ storage.rs  sites of durable storage
//!                                                                           └─ error.rs    refusals ─► Problem
//! ```

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::model::{EmqxUrl, Target};
use crate::ports::{Broker, Brokers, Clock, Credentials, RecordingSink, Tunnel};
use crate::timing::EMQX_TIMEOUT;

mod client;
mod endpoint;
mod error;
mod http;
mod report;
mod request;
mod rounds;
mod shared;
mod start_counts;
mod storage;
mod tls;
mod topology;
pub mod wire;

pub use endpoint::{KeyFile, check_access};

use client::Client;
use endpoint::EmqxEndpoint;
use shared::Shared;

/// Creates brokers that all use the same way to EMQX.
pub struct EmqxBrokers {
    endpoint: EmqxEndpoint,
    credentials: Rc<dyn Credentials>,
    clock: Rc<dyn Clock>,
    tap: Option<Rc<dyn RecordingSink>>,
    time_limit: Duration,
}

impl EmqxBrokers {
    /// Brokers that connect through the API server to a pod. `ca` is `--emqx-ca`, for an API with TLS.
    pub fn through(
        tunnel: Rc<dyn Tunnel>,
        credentials: Rc<dyn Credentials>,
        clock: Rc<dyn Clock>,
        ca: Option<PathBuf>,
        insecure: bool,
    ) -> Self {
        Self {
            endpoint: EmqxEndpoint::Pods { tunnel, ca, insecure },
            credentials,
            clock,
            tap: None,
            time_limit: EMQX_TIMEOUT,
        }
    }

    /// Brokers that connect directly to the addresses of `--emqx-url`, to the next one when one does not
    /// answer. A request determines whether EMQX serves v4 or v5, whatever the target expects.
    pub fn at(
        urls: Vec<EmqxUrl>,
        credentials: Rc<dyn Credentials>,
        clock: Rc<dyn Clock>,
        ca: Option<PathBuf>,
        insecure: bool,
    ) -> Self {
        Self {
            endpoint: EmqxEndpoint::Url { addresses: urls, ca, insecure },
            credentials,
            clock,
            tap: None,
            time_limit: EMQX_TIMEOUT,
        }
    }

    /// The same, with another limit for one request than 10 s: `--request-timeout`.
    #[must_use]
    pub fn with_time_limit(mut self, time_limit: Duration) -> Self {
        self.time_limit = time_limit;
        self
    }

    /// The same, and everything that comes from EMQX is shown to a recorder.
    #[must_use]
    pub(crate) fn with_tap(mut self, tap: Rc<dyn RecordingSink>) -> Self {
        self.tap = Some(tap);
        self
    }
}

impl Brokers for EmqxBrokers {
    fn broker(&self, target: Target) -> Rc<dyn Broker> {
        Rc::new(Client::new(Shared::new(
            self.endpoint.clone(),
            self.credentials.clone(),
            self.clock.clone(),
            self.tap.clone(),
            Rc::new(target),
            self.time_limit,
        )))
    }
}
