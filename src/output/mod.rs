//! stub
use crate::cli::intent::{Manifest, Output};
use crate::error::Problem;
use crate::plan::rebalance::RebalancePlan;
use crate::plan::results::*;
use jiff::Timestamp;
use serde::Serialize;
use std::io::Write;
/// printer
#[derive(Default)]
pub struct Printer;
impl Printer {
    /// x
    pub fn new(_l: &crate::cli::intent::Look, _e: &dyn Fn(&str) -> Option<String>) -> Self {
        Self
    }
    /// x
    pub fn print(&self, t: &str) {
        self.out(t);
    }

    fn out(&self, t: &str) {
        let _ = writeln!(std::io::stdout(), "{t}");
    }
    fn err(&self, t: &str) {
        let _ = writeln!(std::io::stderr(), "{t}");
    }
    fn doc<T: Serialize>(&self, v: &T) {
        self.out(&serde_json::to_string_pretty(v).unwrap_or_default());
    }
    /// x
    pub fn notice(&self, t: &str) {
        self.err(&format!("notice: {t}"));
    }
    /// x
    pub fn talk(&self, t: &str) {
        self.err(t);
    }
    /// x
    pub fn next(&self, t: &str) {
        self.err(&format!("next: {t}"));
    }
    /// x
    pub fn line(&self, t: &str) {
        self.out(t);
    }
    /// x
    pub fn ask(&self, t: &str) -> bool {
        self.err(t);
        false
    }
    /// x
    pub fn problem(&self, p: &Problem) {
        self.err(&format!("error: {p}"));
        if let Some(h) = &p.hint {
            self.err(&format!("hint: {h}"));
        }
    }
    /// x
    pub fn status(&self, s: &Status, _o: Output) {
        self.doc(s);
    }
    /// x
    pub fn statuses(&self, s: &[Status], _o: Output) {
        self.doc(&s);
    }
    /// x
    pub fn nodes(&self, s: &Nodes, _o: Output) {
        self.doc(s);
    }
    /// x
    pub fn nodes_of_several(&self, s: &[Nodes], _o: Output) {
        self.doc(&s);
    }
    /// x
    pub fn version(&self, s: &Version, _o: Output) {
        self.doc(s);
    }
    /// x
    pub fn plan(&self, s: &RebalancePlan, _b: Option<(Backend, &str)>, _o: Output, _n: Option<Timestamp>) {
        self.doc(s);
    }
    /// x
    pub fn talk_plan(&self, s: &RebalancePlan, _b: Option<(Backend, &str)>, _n: Timestamp) {
        self.err(&s.reason);
    }
    /// x
    pub fn applied(&self, s: &Applied, _o: Output, note: &str) {
        self.out(&format!("{}{note}", s.name));
    }
    /// x
    pub fn stopped(&self, s: &Stopped, _o: Output) {
        self.doc(s);
    }
    /// x
    pub fn rebalances(&self, s: &[RebalanceItem], _o: Output, _n: Timestamp) {
        self.doc(&s);
    }
    /// x
    pub fn manifest(&self, s: &serde_json::Value, _m: Manifest) {
        self.doc(s);
    }
    /// x
    pub fn jsonl<T: Serialize>(&self, v: &T) {
        self.out(&serde_json::to_string(v).unwrap_or_default());
    }
}
