//! Lease.

use k8s_pb::api::coordination::v1 as pb;
use serde_json::Value;

use super::fields::Fields;
use super::message;
use super::meta::object_meta;
use crate::status::Failure;

/// `coordination.k8s.io/v1` Lease.
pub(crate) fn lease(bytes: &[u8]) -> Result<Value, Failure> {
    let pb::Lease { metadata, spec } = message(bytes)?;
    let pb::LeaseSpec {
        holder_identity,
        lease_duration_seconds,
        acquire_time,
        renew_time,
        lease_transitions,
        strategy,
        preferred_holder,
    } = spec.unwrap_or_default();
    // A holder of "" means that nobody holds it, which leaving it out means too.
    let spec = Fields::default()
        .text("holderIdentity", holder_identity)
        .plain("leaseDurationSeconds", lease_duration_seconds)
        .micro_time("acquireTime", acquire_time)?
        .micro_time("renewTime", renew_time)?
        .plain("leaseTransitions", lease_transitions)
        .text("strategy", strategy)
        .text("preferredHolder", preferred_holder);
    let fields = Fields::default()
        .plain("metadata", Some(object_meta(metadata)?))
        .plain("spec", Some(spec.object()));
    Ok(fields.object())
}
