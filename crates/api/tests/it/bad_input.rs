//! What clients send that is wrong, and how it is refused: the right status, a stable code, a
//! message that says what and where; nothing is written, and the door goes on.
//!
//! Every clause of the catalogue of bad input about the API and its manifests, and the test that
//! would fail. An object that was read and is wrong gets Kubernetes' 422 `Invalid` where the
//! catalogue says 400 or 412 (`docs/adr/0009-what-is-refused-and-when.md`).
//!
//! | the API | test |
//! |---|---|
//! | invalid UTF-8, NUL, byte order mark, lone surrogate | [`json::bytes_that_are_not_json`] |
//! | depth 10,000; the limit of 64 | [`json::bytes_that_are_not_json`] |
//! | 1e400, -0, 2^53+1, `"1"` for a number | [`json::numbers_that_a_field_cannot_hold`] |
//! | duplicate keys, unknown fields and what was meant | [`json::unknown_and_duplicate_fields_in_the_three_modes`] |
//! | one byte over the limit | [`http::too_large_a_body`] |
//! | no length and endless chunks | [`http::chunks_without_an_end`] |
//! | wrong or absent Content-Type | [`http::content_types`] |
//! | wrong method, and `Allow` | [`http::methods_that_a_path_does_not_have`] |
//! | names: `..`, `%2e%2e`, `a/../b`, `%00`, length, emoji, homoglyphs, case, hyphen | [`names::in_a_body`], [`names::in_a_path`], [`names::in_both`], [`http::dots_in_a_path`] |
//! | reserved names | [`references::namespaces_of_the_platform`]; `default` is there: [`names::in_a_body`]; `_` is no name: [`names::in_a_body`] |
//! | min over max, negative, 10^12 instances | [`service_fields::scale`], and by the subresource `crate::scale` |
//! | processors 0 or NaN, memory of 1 KiB | [`service_fields::quantities`] |
//! | more than the machine has | `crate::quota`, and `ebb_api`'s own tests of capacity |
//! | shares that sum to 99 or 101, or are negative | [`service_fields::traffic`] |
//! | a revision that is not known | [`references::a_revision_that_a_service_does_not_have`] |
//! | an old version | [`races::too_late`] |
//! | made twice | [`races::twice`] |
//! | one idempotency key, two bodies | not here: Kubernetes' API has no such key, a name or a version does its work |
//! | page token of another list, or forged | [`http::page_tokens_of_another_list`], [`http::parameters_that_say_nothing`] |
//! | selector as a bomb | [`http::selector_bombs`] |
//! | deletion while deploying | [`races::a_deletion_while_deploying`] |
//! | 1,000 deploys of one service at once | [`deploys::at_once`], [`deploys::over_connections`] |
//! | token missing, wrong, expired, unsigned, for others | [`http::credentials_that_are_none`]; every route: `crate::auth` |
//! | known and not allowed | [`access::acting_as_somebody_else`], [`access::what_not_even_the_administrator_may_do`]; there is one user, who may do everything else |
//! | another origin, with a cookie | [`access::of_a_page_from_elsewhere`], [`http::credentials_that_are_none`]: 401, as a cookie is no credential |
//! | quota, and `Retry-After` | `crate::quota` |
//! | database full, read-only, gone | [`storage::that_cannot_be_used`]; full is `DISK_FULL` |
//!
//! | the manifest | test |
//! |---|---|
//! | bomb of anchors, tags, tabs, more than one document, made and applied | [`yaml::what_is_not_a_manifest`] |
//! | duplicate keys | [`yaml::keys_that_are_twice_and_keys_that_are_no_text`] |
//! | `no` as a boolean, octal numbers | [`yaml::norway_and_octal`] |
//! | wrong kind or version, and which is right | [`yaml::what_is_not_a_manifest`], [`json::another_kind_than_the_path_is_about`] |
//! | `A=B`, `LD_PRELOAD`, newline, PORT | [`service_fields::environment`] |
//! | port 0, 65536, twice | [`service_fields::ports`], [`yaml::norway_and_octal`] |
//! | a command that is a text | [`service_fields::a_command_as_one_text`] |
//! | a Secret that is not there | taken: [`references::a_secret_that_comes_later`]; `SECRET_NOT_FOUND` at the deploy and nothing started: `failures::nothing_is_started_without_its_secret` of `ebb_control` |
//! | hostPath, privileged, hostNetwork, capabilities, devices, sysctls | [`service_fields::what_nobody_may_have`] |
//! | mount at `/`, `/proc`, `/dev/../proc`, relative, twice | [`service_fields::what_nobody_may_have`] |
//! | mount at a symbolic link | not here: what an image has is seen by the engine, and nothing is mounted yet |
//! | schedules | not here: no kind has one yet |
//! | TOML | not here: 415, [`http::content_types`] |

mod access;
mod deploys;
mod http;
mod json;
mod names;
mod races;
mod references;
mod service_fields;
mod storage;
mod yaml;

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::world::World;

/// Longest wait for any answer: far more than the slowest refusal takes on a busy machine.
const WATCHDOG: Duration = Duration::from_secs(30);

/// How a request is to be refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal<'a> {
    pub(crate) status: u16,
    pub(crate) code: &'a str,
    /// Parts of the message and the fields of the causes, in any order.
    pub(crate) says: &'a [&'a str],
}

/// A refusal without words that are checked.
pub(crate) const fn refusal(status: u16, code: &str) -> Refusal<'_> {
    Refusal { status, code, says: &[] }
}

impl World {
    /// Newest versions of both stores, after the door has answered: it has started, and it lives.
    pub(crate) async fn versions(&self) -> (u64, u64) {
        assert_eq!(self.get("/version").await.0, 200, "the door is gone");
        let declared = self.store.scan("/", None, None, 1).await.unwrap().version;
        let live = self.live.scan("/", None, None, 1).await.unwrap().version;
        (declared, live)
    }

    /// Sends `request`, which must be refused as `want` says and must change nothing. Answers the
    /// Status.
    pub(crate) async fn refused(
        &self,
        what: &str,
        request: RequestBuilder,
        want: Refusal<'_>,
    ) -> Value {
        let before = self.versions().await;
        let asked = tokio::time::timeout(WATCHDOG, request.send()).await;
        let response = asked.unwrap_or_else(|_| panic!("{what}: no answer")).unwrap();
        let status = response.status();
        let text = tokio::time::timeout(WATCHDOG, response.text()).await.unwrap().unwrap();
        assert_eq!(status, want.status, "{what}: {text}");
        let refused = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{what}: {text}"));
        check(what, &refused, want);
        assert_eq!(self.versions().await, before, "{what}: something was written");
        refused
    }

    /// Posts raw bytes.
    pub(crate) fn raw(&self, path: &str, type_: &str, body: impl Into<Vec<u8>>) -> RequestBuilder {
        self.request(Method::POST, path).header("content-type", type_).body(body.into())
    }
}

/// Checks a Status.
pub(crate) fn check(what: &str, refused: &Value, want: Refusal<'_>) {
    assert_eq!(refused["kind"], "Status", "{what}: {refused}");
    assert_eq!(refused["apiVersion"], "v1", "{what}");
    assert_eq!(refused["status"], "Failure", "{what}");
    assert_eq!(refused["code"], want.status, "{what}: {refused}");
    let causes = refused["details"]["causes"].as_array().cloned().unwrap_or_default();
    let codes: Vec<_> = causes.iter().filter_map(|cause| cause["reason"].as_str()).collect();
    assert!(codes.contains(&want.code), "{what}: {} in {refused}", want.code);
    let fields = causes.iter().filter_map(|cause| cause["field"].as_str());
    let said: Vec<&str> = refused["message"].as_str().into_iter().chain(fields).collect();
    for word in want.says {
        assert!(said.iter().any(|text| text.contains(word)), "{what}: {word:?} in {refused}");
    }
    for leak in ["panicked", "src/", ".rs:", "SELECT ", "sqlite"] {
        assert!(!refused.to_string().contains(leak), "{what}: tells of our insides: {refused}");
    }
}

/// The table above names tests that there are.
#[test]
fn every_clause_has_its_test() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let read = |path: &str| std::fs::read_to_string(dir.join(path)).unwrap();
    let table = read("bad_input.rs");
    let table = table.lines().filter(|line| line.starts_with("//! |")).collect::<String>();
    let named: Vec<_> =
        table.split("[`").skip(1).filter_map(|rest| rest.split_once("`]")).collect();
    assert!(named.len() > 40, "{}", named.len());
    for (name, _) in named {
        let (file, test) = name.split_once("::").unwrap();
        let source = read(&format!("bad_input/{file}.rs"));
        assert!(source.contains(&format!("async fn {test}()")), "{name}");
    }
}
