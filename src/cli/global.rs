//! Flags that every command has: kubectl's own, how EMQX is reached, output, logs.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::intent::{Color, Level};
use super::value;
use crate::model::EmqxUrl;

/// Under which heading kubectl's own flags stand in the help.
const CLUSTER: &str = "Cluster (as in kubectl)";
/// Under which heading the ways to EMQX stand.
const EMQX: &str = "EMQX's own API";
/// Under which heading looks and logs stand.
const LOOK: &str = "Output and logs";

/// Flags of every command.
#[derive(Args, Clone, Debug)]
pub(super) struct GlobalArgs {
    #[command(flatten)]
    pub(super) connect: ConnectArgs,
    #[command(flatten)]
    pub(super) emqx: EmqxArgs,
    #[command(flatten)]
    pub(super) look: LookArgs,
}

/// kubectl's own flags, with kubectl's names and meaning.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = CLUSTER)]
pub(super) struct ConnectArgs {
    /// The namespace [default: that of the context]
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub(super) namespace: Option<String>,
    /// The kubeconfig context
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) context: Option<String>,
    /// The kubeconfig cluster
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME")]
    pub(super) cluster: Option<String>,
    /// The kubeconfig user
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME")]
    pub(super) user: Option<String>,
    /// The kubeconfig file
    #[arg(long, global = true, value_name = "FILE", value_parser = value::file(), value_hint = ValueHint::FilePath)]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Address and port of the API server
    #[arg(short, long, global = true, hide_short_help = true, value_name = "URL")]
    pub(super) server: Option<String>,
    /// Bearer token for the API server
    #[arg(long, global = true, hide_short_help = true, value_name = "TOKEN")]
    pub(super) token: Option<String>,
    /// User to impersonate
    #[arg(long = "as", id = "as", global = true, hide_short_help = true, value_name = "USER")]
    pub(super) impersonate: Option<String>,
    /// Group to impersonate (repeatable)
    #[arg(long = "as-group", id = "as-group", global = true, hide_short_help = true, value_name = "GROUP")]
    pub(super) impersonate_groups: Vec<String>,
    /// File with the CA of the API server
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", value_parser = value::file(), value_hint = ValueHint::FilePath)]
    pub(super) certificate_authority: Option<PathBuf>,
    /// File with a client certificate
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", value_parser = value::file(), value_hint = ValueHint::FilePath)]
    pub(super) client_certificate: Option<PathBuf>,
    /// File with the key of the client certificate
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", value_parser = value::file(), value_hint = ValueHint::FilePath)]
    pub(super) client_key: Option<PathBuf>,
    /// Name to expect in the API server's certificate
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME")]
    pub(super) tls_server_name: Option<String>,
    /// Do not verify the API server's certificate
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) insecure_skip_tls_verify: bool,
    /// Limit of one request: to the API server (else 30s), to EMQX (else 10s)
    #[arg(long, global = true, hide_short_help = true, value_name = "DURATION", value_parser = value::duration)]
    pub(super) request_timeout: Option<Duration>,
}

/// How EMQX is reached.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = EMQX)]
pub(super) struct EmqxArgs {
    /// EMQX's address (scheme, host, port) instead of a port-forward; with --api-key-file also without Kubernetes
    /// (repeatable)
    #[arg(long, global = true, hide_short_help = true, value_name = "URL", value_parser = value::emqx_url)]
    pub(super) emqx_url: Vec<EmqxUrl>,
    /// Take `key:secret` from the first line of this file instead of from the operator's Secret
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    pub(super) api_key_file: Option<PathBuf>,
    /// Trust this CA for EMQX's https
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    pub(super) emqx_ca: Option<PathBuf>,
    /// Do not verify EMQX's certificate
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) emqx_insecure: bool,
}

/// How it looks, and what is logged.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = LOOK)]
pub(super) struct LookArgs {
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub(super) color: Color,
    /// Lines only, nothing redrawn in place
    #[arg(long, global = true)]
    pub(super) plain: bool,
    /// ASCII only
    #[arg(long, global = true)]
    pub(super) ascii: bool,
    /// Log down to this level, to stderr
    #[arg(
        short = 'v',
        long = "v",
        id = "v",
        global = true,
        hide_short_help = true,
        value_name = "LEVEL",
        value_enum
    )]
    pub(super) level: Option<Level>,
    /// Log into this file instead
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    pub(super) log_file: Option<PathBuf>,
}
