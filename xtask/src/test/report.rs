//! What the test programs said, added up.

use super::NOT_RUN;

/// Counts, and what could not run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: u64,
    failed: u64,
    not_run: Vec<String>,
}

impl Report {
    /// Takes a line of a test program.
    pub(super) fn read(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("test result: ") {
            let number = |word: &str| {
                let before = rest.split(word).next().filter(|before| before.len() < rest.len())?;
                before.rsplit([' ', ';']).find(|part| !part.is_empty())?.parse::<u64>().ok()
            };
            self.count(number(" passed").unwrap_or(0), number(" failed").unwrap_or(0));
        } else if let Some(at) = line.find(NOT_RUN) {
            self.not_run(&line[at..]);
        }
    }

    pub(super) fn count(&mut self, passed: u64, failed: u64) {
        self.passed += passed;
        self.failed += failed;
    }

    /// A step ended in a failure; it counts as one if no test did.
    pub(super) fn step_failed(&mut self) {
        self.failed = self.failed.max(1);
    }

    pub(super) fn not_run(&mut self, line: &str) {
        if !self.not_run.iter().any(|known| known == line) {
            self.not_run.push(line.to_owned());
        }
    }

    /// Prints what could not run, then the counts as the last line.
    pub(super) fn print(&self) {
        for line in &self.not_run {
            println!("{line}");
        }
        println!("{} passed, {} failed", self.passed, self.failed);
    }
}

/// Leaves out the output of tests that passed, which is only there for its `NOT RUN:` lines.
#[derive(Debug, Default)]
pub(super) struct Filter {
    hiding: bool,
}

impl Filter {
    /// Whether a person wants to see this line.
    pub(super) fn shows(&mut self, line: &str) -> bool {
        if line == "successes:" {
            self.hiding = true;
        } else if line == "failures:" || line.starts_with("test result: ") {
            self.hiding = false;
        }
        !self.hiding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up() {
        let mut report = Report::default();
        report.read("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
        report.read("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured");
        report.read("NOT RUN: kubectl: not installed");
        report.read("NOT RUN: kubectl: not installed");
        assert_eq!((report.passed, report.failed, report.not_run.len()), (15, 2, 1));
    }

    #[test]
    fn output_of_passed_tests_is_hidden() {
        let lines = ["test a ... ok", "successes:", "noise", "test result: ok. 1 passed", "next"];
        let mut filter = Filter::default();
        let shown: Vec<_> = lines.into_iter().filter(|line| filter.shows(line)).collect();
        assert_eq!(shown, ["test a ... ok", "test result: ok. 1 passed", "next"]);
    }
}
