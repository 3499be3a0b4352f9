//! Recordings: one JSON document per line, in order of time. Reading one yields the same facts as a live
//! cluster, through the wire readers that `app` passes in; writing one omits every secret.
//!
//! ```text
//! file ─► Recording (lines, lazily) ─► Translate ─► Moment {t, at, facts}
//! live ─► RecordingSink ─► scrub ─► Recorder ─► file
//! ```

mod read;
mod record;
mod scrub;

pub use read::Recording;

pub use record::Recorder;
