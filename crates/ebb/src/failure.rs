//! A failure on its way to the user: what is printed, and the exit code.

use std::process::ExitCode;

use ebb_model::{Fault, Kind};
use serde_json::json;

use crate::cli::Output;

/// One or more faults that end the command.
#[derive(Debug)]
pub(crate) struct Failure(Vec<Fault>);

impl Failure {
    /// A failure with a stable code.
    pub(crate) fn new(code: &str, kind: Kind, message: impl Into<String>) -> Self {
        Self(vec![Fault::new(code, kind, message)])
    }

    /// A step of the command itself that the machine refused.
    pub(crate) fn internal(step: &str, error: &dyn std::fmt::Display) -> Self {
        Self::new("INTERNAL", Kind::Internal, format!("{step}: {error}"))
    }

    /// Whether it is the one fault with this kind.
    pub(crate) fn is(&self, kind: Kind) -> bool {
        self.0.iter().all(|fault| fault.kind == kind)
    }

    /// Prints every fault and answers the exit code of the first.
    pub(crate) fn report(&self, output: Output) -> ExitCode {
        ExitCode::from(self.print(output))
    }

    /// The same, with the exit code as a number.
    pub(crate) fn print(&self, output: Output) -> u8 {
        let code = self.0.first().map_or(1, |fault| fault.kind.exit_code());
        match output {
            Output::Table => self.0.iter().for_each(print),
            Output::Json => crate::output::json(&self.body()),
            Output::Yaml => crate::output::yaml(&self.body()),
        }
        code
    }

    fn body(&self) -> serde_json::Value {
        match self.0.as_slice() {
            [fault] => json!({ "error": fault }),
            faults => json!({ "error": faults.first(), "errors": faults }),
        }
    }
}

fn print(fault: &Fault) {
    let place = fault.field.as_ref().map_or_else(String::new, |field| format!(" ({field})"));
    let message = crate::output::clean(&fault.message);
    crate::output::note(&format!("error[{}]: {message}{place}", fault.code));
    if let Some(hint) = &fault.hint {
        crate::output::note(&format!("hint: {}", crate::output::clean(hint)));
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl From<Vec<Fault>> for Failure {
    fn from(faults: Vec<Fault>) -> Self {
        Self(faults)
    }
}

impl From<ebb_node::Error> for Failure {
    fn from(error: ebb_node::Error) -> Self {
        Self(error.faults())
    }
}
