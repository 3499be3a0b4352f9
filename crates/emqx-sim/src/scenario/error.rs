//! The errors of scenarios.

/// Why a scenario cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// No such scenario inside the program.
    #[error("there is no scenario {name}: there are {known}")]
    Unknown {
        /// The requested name.
        name: String,
        /// The known names.
        known: String,
    },
    /// Not YAML, or not a scenario.
    #[error("not a scenario: {0}")]
    Yaml(String),
    /// An invalid fault.
    #[error("not a fault: {0}")]
    Fault(String),
    /// A readable scenario with contradictions.
    #[error("the scenario makes no sense: {0}")]
    Senseless(String),
}
