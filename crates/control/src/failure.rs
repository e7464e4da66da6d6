//! Why something could not be started, as a stable code and a sentence that says what to do.

use ebb_model::engine::{ContainerSpec, ExitRecord, LogRecord};
use ebb_model::quantity::format_bytes;
use ebb_model::{Fault, Kind};

/// Bytes of an application's last output that a message carries at most.
const OUTPUT: usize = 400;

/// A failure, and whether trying again can help without anybody changing anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) transient: bool,
}

impl Failure {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), transient: false }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        // A failure of our own says nothing about what was to be started: it may pass.
        let transient = matches!(
            fault.kind,
            Kind::Unavailable | Kind::Exhausted | Kind::Timeout | Kind::Internal
        );
        let message = match fault.hint {
            Some(hint) => format!("{}; {hint}", fault.message),
            None => fault.message,
        };
        Self { code: fault.code, message, transient }
    }
}

/// Why an instance ended that nobody told to stop.
pub(crate) fn of_exit(record: &ExitRecord, was_ready: bool, container: &ContainerSpec) -> Failure {
    if let Some(failure) = &record.start_failure {
        return Failure::new(&failure.code, failure.message.clone());
    }
    if record.oom {
        let limit = container.limits.get("memory").copied().unwrap_or(0);
        let message = format!(
            "the container used more than its memory limit of {} and was killed: raise \
             resources.limits.memory, or use less",
            format_bytes(limit)
        );
        return Failure::new("OOM_KILLED", message);
    }
    // Its end was not seen, as where the machine lost it: that is nothing the program did.
    let transient = record.code.is_none() && record.signal.is_none();
    let how = match (record.code, record.signal) {
        (Some(code), _) => format!("with code {code}"),
        (None, Some(signal)) => format!("by signal {signal}"),
        (None, None) => "without saying why".to_owned(),
    };
    let program = container.argv.first().map(String::as_str).unwrap_or_default();
    if was_ready {
        let message = format!("the program {program} ended {how}");
        return Failure { transient, ..Failure::new("INSTANCE_EXITED", message) };
    }
    let port = container.port.map(|port| format!(" before it listened on port {port}"));
    let message = format!(
        "the program {program} ended {how}{}: see its output, and check that it serves HTTP on \
         $PORT",
        port.unwrap_or_default()
    );
    Failure { transient, ..Failure::new("EXITED_EARLY", message) }
}

/// The end of the application's output, made safe to show: one line, no control characters.
pub(crate) fn output(records: &[LogRecord]) -> Option<String> {
    let lines: Vec<String> = records
        .iter()
        .map(|record| {
            let text = String::from_utf8_lossy(&record.line);
            text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>()
        })
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    let text = lines.join(" | ");
    let from = text.len().saturating_sub(OUTPUT);
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at))?;
    Some(if from == 0 { text } else { format!("...{}", &text[from..]) })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ebb_model::Timestamp;
    use ebb_model::engine::{LogStream, StartFailure};
    use ebb_model::image::{ImageConfig, RootFsLayout};

    use super::*;

    fn container() -> ContainerSpec {
        ContainerSpec {
            name: "c".to_owned(),
            rootfs: RootFsLayout { lowers: Vec::new(), config: ImageConfig::default() },
            argv: vec!["/app".to_owned()],
            env: Vec::new(),
            working_dir: "/".to_owned(),
            user: String::new(),
            port: Some(8080),
            limits: BTreeMap::from([("memory".to_owned(), 512 << 20)]),
            read_only: false,
        }
    }

    #[test]
    fn exits_table() {
        let exit = ExitRecord::default;
        let never = StartFailure { code: "NEVER_READY".to_owned(), message: "m".to_owned() };
        for (record, was_ready, code, part) in [
            (ExitRecord { code: Some(3), ..exit() }, false, "EXITED_EARLY", "code 3 before"),
            (ExitRecord { signal: Some(11), ..exit() }, false, "EXITED_EARLY", "signal 11"),
            (ExitRecord { code: Some(1), ..exit() }, true, "INSTANCE_EXITED", "with code 1"),
            (ExitRecord { oom: true, signal: Some(9), ..exit() }, true, "OOM_KILLED", "512Mi"),
            (ExitRecord { start_failure: Some(never), ..exit() }, false, "NEVER_READY", "m"),
            (exit(), false, "EXITED_EARLY", "without saying why"),
        ] {
            let failure = of_exit(&record, was_ready, &container());
            assert_eq!(failure.code, code, "{record:?}");
            assert_eq!(failure.transient, record == exit(), "only an end that nobody saw");
            assert!(failure.message.contains(part), "{}", failure.message);
        }
    }

    #[test]
    fn output_is_one_safe_bounded_line() {
        let line = |text: &str| LogRecord {
            seq: 0,
            at: Timestamp::default(),
            stream: LogStream::Stderr,
            line: text.as_bytes().to_vec(),
        };
        assert_eq!(output(&[]), None);
        let records = [line("panic: \u{1b}[31mno database"), line(""), line("exit")];
        assert_eq!(output(&records).unwrap(), "panic:  [31mno database | exit");
        let long = output(&[line(&"é".repeat(1000))]).unwrap();
        assert!(long.len() <= OUTPUT + 3 && long.starts_with("..."), "{long}");
    }

    #[test]
    fn only_some_kinds_are_worth_another_try() {
        for (kind, transient) in
            [(Kind::Unavailable, true), (Kind::Timeout, true), (Kind::NotFound, false)]
        {
            assert_eq!(Failure::from(Fault::new("X", kind, "x")).transient, transient);
        }
    }
}
