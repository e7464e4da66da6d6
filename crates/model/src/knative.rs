//! The kinds of `serving.knative.dev/v1`: Service, Configuration, Revision and Route.
//!
//! Field names, conditions and labels are those of the Knative Serving API specification. Fields
//! of a Pod template that this platform knows but does not run yet are kept as raw values, so
//! that validation can refuse them by name instead of dropping them.

use k8s_openapi::api::core::v1::{Container, LocalObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

/// `apiVersion` of every kind here.
pub const API_VERSION: &str = "serving.knative.dev/v1";
/// Label on Configuration, Route, Revision and Pod: the Service they belong to.
pub const LABEL_SERVICE: &str = "serving.knative.dev/service";
/// Label on Revision and Pod: the Configuration they belong to.
pub const LABEL_CONFIGURATION: &str = "serving.knative.dev/configuration";
/// Label on Revision: `metadata.generation` of the Configuration that it is a snapshot of.
pub const LABEL_CONFIGURATION_GENERATION: &str = "serving.knative.dev/configurationGeneration";
/// Label on Pod: the Revision it runs.
pub const LABEL_REVISION: &str = "serving.knative.dev/revision";

/// Condition that sums up the others.
pub const READY: &str = "Ready";
/// Condition of a Service: its Configuration has a ready latest revision.
pub const CONFIGURATIONS_READY: &str = "ConfigurationsReady";
/// Condition of a Service: its Route takes requests.
pub const ROUTES_READY: &str = "RoutesReady";
/// Condition of a Revision: its instance could be started.
pub const RESOURCES_AVAILABLE: &str = "ResourcesAvailable";
/// Condition of a Revision: its container became ready.
pub const CONTAINER_HEALTHY: &str = "ContainerHealthy";
/// Condition of a Revision: it has instances or takes requests (informational).
pub const ACTIVE: &str = "Active";
/// Condition of a Route: every traffic target is there.
pub const ALL_TRAFFIC_ASSIGNED: &str = "AllTrafficAssigned";
/// Condition of a Route: the gateway knows it.
pub const INGRESS_READY: &str = "IngressReady";

/// A stored object of one of our kinds: Kubernetes' usual five parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(bound = "S: JsonSchema + Default + Serialize, T: JsonSchema")]
pub struct Object<S, T> {
    /// `serving.knative.dev/v1`.
    #[serde(default)]
    pub api_version: String,
    /// Kind, such as `Service`.
    #[serde(default)]
    pub kind: String,
    /// Name, namespace, labels, generation and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: S,
    /// What is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<T>,
}

/// A named, addressable thing that answers requests.
pub type Service = Object<ServiceSpec, ServiceStatus>;
/// The template of a Service and the history of its snapshots.
pub type Configuration = Object<ConfigurationSpec, ConfigurationStatus>;
/// An immutable snapshot of a template, with the image's digest.
pub type Revision = Object<RevisionSpec, RevisionStatus>;
/// Host and traffic of a Service.
pub type Route = Object<RouteSpec, RouteStatus>;

/// `spec` of a Service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// Template of the next revision.
    #[serde(default)]
    pub template: RevisionTemplate,
    /// Shares of requests; empty means everything to the latest ready revision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traffic: Vec<TrafficTarget>,
}

/// `spec` of a Configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationSpec {
    /// Template of the next revision.
    #[serde(default)]
    pub template: RevisionTemplate,
}

/// `spec` of a Route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteSpec {
    /// Shares of requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traffic: Vec<TrafficTarget>,
}

/// Metadata and spec of the next revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionTemplate {
    /// Labels, annotations and optionally the name of the revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ObjectMeta>,
    /// What runs.
    #[serde(default)]
    pub spec: RevisionSpec,
}

/// `spec` of a Revision: the part of a PodSpec that Knative allows, and Knative's own fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionSpec {
    /// Containers; one of them takes requests.
    #[serde(default, serialize_with = "as_given")]
    pub containers: Vec<Container>,
    /// Requests that one instance takes at once; 0 means no limit, unset means 80.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_concurrency: Option<i64>,
    /// Seconds from a request's arrival to the end of its response; unset means 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i64>,
    /// Seconds until the first byte of the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_start_timeout_seconds: Option<i64>,
    /// Seconds that a request may move no byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout_seconds: Option<i64>,
    /// Name of the service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// Secrets of type `kubernetes.io/dockerconfigjson` for pulling the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// Whether to inject service environment variables; only `false` means anything here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_service_links: Option<bool>,
    /// Seconds between SIGTERM and kill; unset means 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_grace_period_seconds: Option<i64>,
    /// Isolation tier; unset means `ebb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_class_name: Option<String>,
    /// Known and not run: refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<Value>,
    /// Known and not run: refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Value>,
    /// Known and not run: refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automount_service_account_token: Option<Value>,
    /// Known and not run: refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_config: Option<Value>,
    /// Known and not run: refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_policy: Option<Value>,
    /// Known and not run: refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_aliases: Option<Value>,
    /// Known and not run: refused by name.
    #[serde(rename = "hostIPC", default, skip_serializing_if = "Option::is_none")]
    pub host_ipc: Option<Value>,
    /// Known and not run: refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_network: Option<Value>,
    /// Known and not run: refused by name.
    #[serde(rename = "hostPID", default, skip_serializing_if = "Option::is_none")]
    pub host_pid: Option<Value>,
    /// Known and not run: refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Value>,
    /// Known and not run: refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_containers: Option<Value>,
    /// Known and not run: refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<Value>,
    /// Known and not run: refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<Value>,
    /// Known and not run: refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<Value>,
    /// Known and not run: refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<Value>,
    /// Known and not run: refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler_name: Option<Value>,
    /// Known and not run: refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<Value>,
    /// Known and not run: refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_process_namespace: Option<Value>,
    /// Known and not run: refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerations: Option<Value>,
    /// Known and not run: refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology_spread_constraints: Option<Value>,
    /// Known and not run: refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Value>,
}

/// Writes containers without the empty name that the type gives to one without a name: clients that
/// compute merge patches see a list as one value, and would see a difference at every apply.
fn as_given<S: Serializer>(containers: &[Container], serializer: S) -> Result<S::Ok, S::Error> {
    let values: Result<Vec<Value>, _> = containers.iter().map(serde_json::to_value).collect();
    let mut values = values.map_err(S::Error::custom)?;
    for container in values.iter_mut().filter_map(Value::as_object_mut) {
        if container.get("name").is_some_and(|name| name == "") {
            container.remove("name");
        }
    }
    values.serialize(serializer)
}

impl RevisionSpec {
    /// Names of the set fields of a PodSpec that are known and not run.
    pub fn refused_fields(&self) -> Vec<&'static str> {
        let fields = [
            ("activeDeadlineSeconds", &self.active_deadline_seconds),
            ("affinity", &self.affinity),
            ("automountServiceAccountToken", &self.automount_service_account_token),
            ("dnsConfig", &self.dns_config),
            ("dnsPolicy", &self.dns_policy),
            ("hostAliases", &self.host_aliases),
            ("hostIPC", &self.host_ipc),
            ("hostNetwork", &self.host_network),
            ("hostPID", &self.host_pid),
            ("hostname", &self.hostname),
            ("initContainers", &self.init_containers),
            ("nodeName", &self.node_name),
            ("nodeSelector", &self.node_selector),
            ("priorityClassName", &self.priority_class_name),
            ("restartPolicy", &self.restart_policy),
            ("schedulerName", &self.scheduler_name),
            ("securityContext", &self.security_context),
            ("shareProcessNamespace", &self.share_process_namespace),
            ("tolerations", &self.tolerations),
            ("topologySpreadConstraints", &self.topology_spread_constraints),
            ("volumes", &self.volumes),
        ];
        fields.into_iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name).collect()
    }
}

/// A share of the requests of a Service or Route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficTarget {
    /// Revision, unless `latestRevision`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision_name: Option<String>,
    /// Configuration whose latest ready revision is followed; in a Route only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration_name: Option<String>,
    /// Follow the latest ready revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_revision: Option<bool>,
    /// Share in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<i64>,
    /// Name of a URL of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// That URL (status only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// One condition of a status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Name of the condition, such as `Ready`.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Stable word or code for the last change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `Info` for conditions that do not decide about `Ready`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// RFC 3339 time of the last change of `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<String>,
}

/// Address of a Service inside the platform.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Address {
    /// URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// `status` of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceStatus {
    /// Generation of the spec that this status is about.
    pub observed_generation: i64,
    /// `Ready`, `ConfigurationsReady`, `RoutesReady`.
    pub conditions: Vec<Condition>,
    /// Newest revision that was ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_ready_revision_name: Option<String>,
    /// Newest revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_created_revision_name: Option<String>,
    /// Where it takes requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The same, for callers inside the platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Shares of requests, with revision names resolved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub traffic: Vec<TrafficTarget>,
}

/// `status` of a Configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigurationStatus {
    /// Generation of the spec that this status is about.
    pub observed_generation: i64,
    /// `Ready`.
    pub conditions: Vec<Condition>,
    /// Newest revision that was ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_ready_revision_name: Option<String>,
    /// Newest revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_created_revision_name: Option<String>,
}

/// `status` of a Revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RevisionStatus {
    /// Generation of the spec that this status is about.
    pub observed_generation: i64,
    /// `Ready`, `ResourcesAvailable`, `ContainerHealthy`, `Active`.
    pub conditions: Vec<Condition>,
    /// Container names with the digests that they run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub container_statuses: Vec<ContainerImage>,
    /// Instances that are ready or starting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual_replicas: Option<i32>,
    /// Instances that are wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
}

/// A container's name and the digest of the image that it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerImage {
    /// Name of the container.
    pub name: String,
    /// Reference pinned by digest.
    pub image_digest: String,
}

/// `status` of a Route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteStatus {
    /// Generation of the spec that this status is about.
    pub observed_generation: i64,
    /// `Ready`, `AllTrafficAssigned`, `IngressReady`.
    pub conditions: Vec<Condition>,
    /// Where it takes requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The same, for callers inside the platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Shares of requests, with revision names resolved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub traffic: Vec<TrafficTarget>,
}
