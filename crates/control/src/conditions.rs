//! Conditions: what a status says about itself.

use ebb_model::Timestamp;
use ebb_model::knative::{Condition, READY};

pub(crate) const TRUE: &str = "True";
pub(crate) const FALSE: &str = "False";
pub(crate) const UNKNOWN: &str = "Unknown";

/// What one condition says: `True`, `False` or `Unknown`, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) status: &'static str,
    pub(crate) reason: Option<String>,
    pub(crate) message: Option<String>,
}

impl Verdict {
    pub(crate) const fn ok() -> Self {
        Self { status: TRUE, reason: None, message: None }
    }

    pub(crate) fn unknown(reason: &str, message: impl Into<String>) -> Self {
        Self::with(UNKNOWN, reason, message)
    }

    pub(crate) fn failed(reason: &str, message: impl Into<String>) -> Self {
        Self::with(FALSE, reason, message)
    }

    fn with(status: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self { status, reason: Some(reason.to_owned()), message: Some(message.into()) }
    }

    /// What the condition `type_` says; `Unknown` when it is not there.
    pub(crate) fn of(conditions: &[Condition], type_: &str) -> Self {
        let Some(condition) = conditions.iter().find(|c| c.type_ == type_) else {
            return Self { status: UNKNOWN, reason: None, message: None };
        };
        let status = match condition.status.as_str() {
            TRUE => TRUE,
            FALSE => FALSE,
            _ => UNKNOWN,
        };
        Self { status, reason: condition.reason.clone(), message: condition.message.clone() }
    }

    pub(crate) fn is_true(&self) -> bool {
        self.status == TRUE
    }

    pub(crate) fn is_false(&self) -> bool {
        self.status == FALSE
    }
}

/// Sets a condition. Its transition time moves only when its status changes.
pub(crate) fn set(conditions: &mut Vec<Condition>, type_: &str, verdict: &Verdict, now: Timestamp) {
    set_with(conditions, type_, verdict, None, now);
}

/// Sets a condition that does not decide about `Ready`.
pub(crate) fn set_info(
    conditions: &mut Vec<Condition>,
    type_: &str,
    verdict: &Verdict,
    now: Timestamp,
) {
    set_with(conditions, type_, verdict, Some("Info"), now);
}

fn set_with(
    conditions: &mut Vec<Condition>,
    type_: &str,
    verdict: &Verdict,
    severity: Option<&str>,
    now: Timestamp,
) {
    let at = conditions.iter().position(|c| c.type_ == type_);
    let before = at.map(|at| &conditions[at]);
    let changed = before.map(|c| c.status.as_str()) != Some(verdict.status);
    let since = before.and_then(|c| c.last_transition_time.clone()).filter(|_| !changed);
    let condition = Condition {
        type_: type_.to_owned(),
        status: verdict.status.to_owned(),
        reason: verdict.reason.clone(),
        message: verdict.message.clone(),
        severity: severity.map(str::to_owned),
        last_transition_time: since.or_else(|| Some(now.to_rfc3339_seconds())),
    };
    match at {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

/// Sets `Ready` to the sum of `parts`: the first that is False, else the first that is Unknown.
pub(crate) fn sum_up(conditions: &mut Vec<Condition>, parts: &[&str], now: Timestamp) {
    let verdicts: Vec<Verdict> = parts.iter().map(|part| Verdict::of(conditions, part)).collect();
    let worst = [FALSE, UNKNOWN]
        .iter()
        .find_map(|status| verdicts.iter().find(|v| v.status == *status).cloned())
        .unwrap_or_else(Verdict::ok);
    set(conditions, READY, &worst, now);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: [&str; 2] = ["A", "B"];

    fn ready(a: &Verdict, b: &Verdict) -> Verdict {
        let mut conditions = Vec::new();
        set(&mut conditions, "A", a, Timestamp::default());
        set(&mut conditions, "B", b, Timestamp::default());
        sum_up(&mut conditions, &PARTS, Timestamp::default());
        Verdict::of(&conditions, READY)
    }

    #[test]
    fn ready_is_the_worst_of_its_parts() {
        let unknown = Verdict::unknown("Waiting", "waiting");
        let failed = Verdict::failed("BROKEN", "broken");
        assert_eq!(ready(&Verdict::ok(), &Verdict::ok()), Verdict::ok());
        assert_eq!(ready(&unknown, &Verdict::ok()), unknown);
        assert_eq!(ready(&unknown, &failed), failed);
        assert_eq!(ready(&failed, &unknown), failed);
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let mut conditions = Vec::new();
        let at = |n: u64| Timestamp::from_micros(n * 1_000_000);
        set(&mut conditions, "A", &Verdict::unknown("X", "x"), at(1));
        set(&mut conditions, "A", &Verdict::unknown("Y", "y"), at(2));
        assert_eq!(conditions[0].last_transition_time, Some(at(1).to_rfc3339_seconds()));
        assert_eq!(conditions[0].reason.as_deref(), Some("Y"));
        set(&mut conditions, "A", &Verdict::ok(), at(3));
        assert_eq!(conditions[0].last_transition_time, Some(at(3).to_rfc3339_seconds()));
        assert_eq!(conditions.len(), 1);
    }
}
