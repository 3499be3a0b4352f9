//! `kubectl emqx`: the library behind the plugin. The map of its rooms is in `docs` of each module.
pub mod plan;
