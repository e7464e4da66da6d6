//! Policy: a container asks for no more than the machine has.

use std::collections::BTreeSet;

use ebb_model::quantity::{format_bytes, format_cpu_milli, parse_bytes, parse_cpu_milli};
use ebb_model::{Fault, Kind as FaultKind};
use serde::Deserialize;
use serde_json::Value;

use super::hooks::{Findings, Policy, Review};

/// What the machine has. A container that asks for more could never start, or would never meet its
/// limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// Thousandths of a CPU.
    pub cpu_milli: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

impl Policy for Capacity {
    fn review(&self, review: &Review<'_>) -> Findings {
        let Some(new) = review.new else { return Findings::default() };
        // What is there already may be changed in other ways after it came to a smaller machine.
        let known: BTreeSet<(&str, &str)> =
            review.old.into_iter().flat_map(asked).map(|ask| (ask.resource, ask.amount)).collect();
        let unknown = asked(new).into_iter().filter(|a| !known.contains(&(a.resource, a.amount)));
        Findings {
            faults: unknown.filter_map(|ask| self.judge(&ask)).collect(),
            ..Findings::default()
        }
    }
}

impl Capacity {
    fn judge(&self, ask: &Ask<'_>) -> Option<Fault> {
        let (asked, has) = match ask.resource {
            "cpu" => (parse_cpu_milli(ask.amount), self.cpu_milli),
            _ => (parse_bytes(ask.amount), self.memory_bytes),
        };
        // What cannot be read is a matter of validation.
        if asked.ok()? <= has {
            return None;
        }
        let available = match ask.resource {
            "cpu" => format_cpu_milli(has),
            _ => format_bytes(has),
        };
        let message = format!(
            "Invalid value: {:?}: more {} than the machine has: {available}",
            ask.amount, ask.resource
        );
        Some(Fault::new("CAPACITY", FaultKind::Invalid, message).at(ask.field.clone()))
    }
}

/// An amount of a resource in a template.
struct Ask<'a> {
    field: String,
    resource: &'static str,
    amount: &'a str,
}

/// Each amount that the containers of a template ask for.
fn asked(object: &Value) -> Vec<Ask<'_>> {
    let mut found = Vec::new();
    for list in ["initContainers", "containers"] {
        let containers = object["spec"]["template"]["spec"][list].as_array();
        for (at, container) in containers.into_iter().flatten().enumerate() {
            for part in ["requests", "limits"] {
                for resource in ["cpu", "memory"] {
                    let field =
                        format!("spec.template.spec.{list}[{at}].resources.{part}.{resource}");
                    let amount = container["resources"][part][resource].as_str();
                    found.extend(amount.map(|amount| Ask { field, resource, amount }));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::hooks::Operation;

    fn service(cpu: &str, memory: &str) -> Value {
        let resources =
            json!({"requests": {"cpu": "1m"}, "limits": {"cpu": cpu, "memory": memory}});
        json!({"spec": {"template": {"spec": {"containers": [{"resources": resources}]}}}})
    }

    fn faults(old: Option<&Value>, new: &Value) -> Vec<Fault> {
        let capacity = Capacity { cpu_milli: 2000, memory_bytes: 4 << 30 };
        let operation = if old.is_some() { Operation::Update } else { Operation::Create };
        let review =
            Review { operation, group: "", resource: "", namespace: "", old, new: Some(new) };
        capacity.review(&review).faults
    }

    #[test]
    fn as_much_as_there_is_and_no_more() {
        assert!(faults(None, &service("2", "4Gi")).is_empty());
        assert!(faults(None, &json!({})).is_empty());
        let large = service("2001m", "900Gi");
        let found = faults(None, &large);
        let fields: Vec<_> = found.iter().filter_map(|fault| fault.field.as_deref()).collect();
        let limits = "spec.template.spec.containers[0].resources.limits";
        assert_eq!(fields, [format!("{limits}.cpu"), format!("{limits}.memory")]);
        assert!(found[1].message.contains("900Gi") && found[1].message.contains("4Gi"));
        assert!(faults(Some(&large), &large).is_empty(), "what is there already stays");
        assert_eq!(faults(Some(&large), &service("2001m", "901Gi")).len(), 1);
    }
}
