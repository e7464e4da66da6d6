//! Policy: an instance asks for no more than the machine has.

use ebb_model::quantity::{format_bytes, format_cpu_milli};
use ebb_model::{Fault, Kind as FaultKind, reserve};
use serde::Deserialize;
use serde_json::Value;

use super::hooks::{Findings, Policy, Review};

/// What the machine has. An instance that asks for more could never start, or would never meet its
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
        let resources = [(CPU, self.cpu_milli), (MEMORY, self.memory_bytes)];
        let faults = resources.into_iter().flat_map(|(resource, has)| {
            let asked = Ask::of(new, resource);
            // What is there already may be changed in other ways after it came to a smaller
            // machine.
            let before = review.old.map_or(0, |old| Ask::of(old, resource).sum());
            if asked.sum() <= before { Vec::new() } else { asked.judge(resource, has) }
        });
        Findings { faults: faults.collect(), ..Findings::default() }
    }
}

/// A resource that is shared out.
#[derive(Clone, Copy)]
struct Resource {
    name: &'static str,
    /// What a container with a request and a limit gets.
    reserved: fn(Option<&str>, Option<&str>) -> Result<u64, Fault>,
    format: fn(u64) -> String,
}

const CPU: Resource =
    Resource { name: "cpu", reserved: reserve::cpu_milli, format: format_cpu_milli };
const MEMORY: Resource =
    Resource { name: "memory", reserved: reserve::memory_bytes, format: format_bytes };

/// What the containers of a template get of one resource, all at once.
struct Ask {
    containers: Vec<Part>,
}

/// The share of one container.
struct Part {
    /// Field that says it; none for the default.
    field: Option<String>,
    /// As it was written.
    text: String,
    amount: u64,
}

impl Ask {
    fn of(object: &Value, resource: Resource) -> Self {
        const AT: &str = "spec.template.spec.containers";
        let containers = object["spec"]["template"]["spec"]["containers"].as_array();
        let part = |(at, container): (usize, &Value)| {
            let said = |part: &str| container["resources"][part][resource.name].as_str();
            let (request, limit) = (said("requests"), said("limits"));
            let said = limit
                .map(|text| ("limits", text))
                .or_else(|| request.map(|text| ("requests", text)));
            let field = said.map(|(p, _)| format!("{AT}[{at}].resources.{p}.{}", resource.name));
            // What cannot be read is a matter of validation.
            let amount = (resource.reserved)(request, limit).unwrap_or(0);
            Part { field, text: said.map_or("", |(_, text)| text).to_owned(), amount }
        };
        Self { containers: containers.into_iter().flatten().enumerate().map(part).collect() }
    }

    /// What an instance gets. Nothing while no container asks: the default is a ceiling that a
    /// small machine may have to lower, not a demand.
    fn sum(&self) -> u64 {
        if self.containers.iter().all(|part| part.field.is_none()) {
            return 0;
        }
        self.containers.iter().fold(0, |sum, part| sum.saturating_add(part.amount))
    }

    /// Why it is more than there is: each container that is too large by itself, or all together.
    fn judge(&self, resource: Resource, has: u64) -> Vec<Fault> {
        let (sum, name) = (self.sum(), resource.name);
        if sum <= has {
            return Vec::new();
        }
        let available = (resource.format)(has);
        let fault = |field: &str, message: String| {
            Fault::new("CAPACITY", FaultKind::Invalid, message).at(field.to_owned())
        };
        let alone = self.containers.iter().filter(|part| part.amount > has);
        let faults: Vec<Fault> = alone
            .filter_map(|part| {
                let message = format!(
                    "Invalid value: {:?}: more {name} than the machine has: {available}",
                    part.text
                );
                Some(fault(part.field.as_deref()?, message))
            })
            .collect();
        if !faults.is_empty() {
            return faults;
        }
        let message = format!(
            "Invalid value: {:?}: the containers of an instance get more {name} together than the \
             machine has: {available}",
            (resource.format)(sum)
        );
        vec![fault("spec.template.spec.containers", message)]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::hooks::Operation;

    fn service(containers: &[Value]) -> Value {
        let containers: Vec<Value> =
            containers.iter().map(|resources| json!({"resources": resources})).collect();
        json!({"spec": {"template": {"spec": {"containers": containers}}}})
    }

    fn one(cpu: &str, memory: &str) -> Value {
        service(&[json!({"requests": {"cpu": "1m"}, "limits": {"cpu": cpu, "memory": memory}})])
    }

    fn faults(old: Option<&Value>, new: &Value) -> Vec<(String, String)> {
        let capacity = Capacity { cpu_milli: 2000, memory_bytes: 4 << 30 };
        let operation = if old.is_some() { Operation::Update } else { Operation::Create };
        let review =
            Review { operation, group: "", resource: "", namespace: "", old, new: Some(new) };
        let faults = capacity.review(&review).faults.into_iter();
        faults.map(|fault| (fault.field.unwrap_or_default(), fault.message)).collect()
    }

    fn fields(new: &Value) -> Vec<String> {
        faults(None, new).into_iter().map(|(field, _)| field).collect()
    }

    #[test]
    fn as_much_as_there_is_and_no_more() {
        assert!(faults(None, &one("2", "4Gi")).is_empty());
        assert!(faults(None, &json!({})).is_empty());
        let large = one("2001m", "900Gi");
        let limits = "spec.template.spec.containers[0].resources.limits";
        assert_eq!(fields(&large), [format!("{limits}.cpu"), format!("{limits}.memory")]);
        let (_, message) = &faults(None, &large)[1];
        assert!(message.contains("900Gi") && message.contains("4Gi"), "{message}");
        assert!(faults(Some(&large), &large).is_empty(), "what is there already stays");
        assert_eq!(faults(Some(&large), &one("2001m", "901Gi")).len(), 1);
        let request = service(&[json!({"requests": {"memory": "5Gi"}})]);
        assert_eq!(
            fields(&request),
            ["spec.template.spec.containers[0].resources.requests.memory"],
            "a request beyond the default is what it gets"
        );
    }

    #[test]
    fn containers_of_one_instance_are_added_up() {
        let gets = |memory: &str| json!({"limits": {"memory": memory}});
        assert!(fields(&service(&[gets("2Gi"), gets("2Gi")])).is_empty());
        let both = service(&[gets("2Gi"), gets("2049Mi")]);
        assert_eq!(fields(&both), ["spec.template.spec.containers"]);
        let (_, message) = &faults(None, &both)[0];
        assert!(message.contains("4097Mi") && message.contains("4Gi"), "{message}");
        // One that says nothing gets the default beside the other.
        let silent = service(&[gets("3585Mi"), json!({})]);
        assert_eq!(fields(&silent), ["spec.template.spec.containers"]);
        assert!(fields(&service(&[json!({}), json!({}), json!({})])).is_empty());
        let mixed =
            service(&[json!({"requests": {"cpu": "1500m"}}), json!({"limits": {"cpu": "501m"}})]);
        assert_eq!(fields(&mixed), ["spec.template.spec.containers"], "a request and a limit");
        assert!(faults(Some(&both), &both).is_empty());
        assert_eq!(faults(Some(&both), &service(&[gets("2Gi"), gets("2050Mi")])).len(), 1);
    }
}
