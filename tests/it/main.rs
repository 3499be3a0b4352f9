//! Tests in process: parsing, output, the wire forms, recordings, the simulated cluster and the screens.

mod cli_parse;
mod forecast_as_measured;
mod layers;
mod no_panic;
mod output_inline;
mod output_json;
mod output_text;
mod outputs;
mod outside_sim;
mod recordings;
mod recordings_changed;
mod replay_upgrades;
mod reports;
mod screens;
mod sim_as_recorded;
mod sim_faults;
mod sim_kube;
mod sim_kubectl;
mod sim_upgrades;
#[cfg(unix)]
mod terminal;
mod wire_emqx;
mod wire_k8s;
mod wire_objects;
mod wire_recordings;
