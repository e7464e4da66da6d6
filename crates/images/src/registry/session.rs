//! Requests to one repository of one registry: where they go, and how they identify.

use ebb_model::{Kind, Reference};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode, Url};

use super::address::{host_is_public, is_loopback, is_public};
use super::challenge::{self, Challenge};
use super::credentials::Credential;
use super::retry::{self, Failure, unavailable};
use super::{Registry, token};
use crate::Error;
use crate::shown::plain;

/// Redirects that one request follows; registries need one or two.
const REDIRECTS_MAX: usize = 5;

/// One repository, for the time of one pull. Its token is never used for another pull.
pub(crate) struct Session<'a> {
    pub(super) registry: &'a Registry,
    pub(super) reference: Reference,
    pub(super) base: Url,
    pub(super) credential: Option<Credential>,
    /// The registry itself is on a private network, so it may point there.
    private: bool,
    authorization: tokio::sync::Mutex<Option<HeaderValue>>,
}

impl<'a> Session<'a> {
    pub(super) async fn open(
        registry: &'a Registry,
        reference: &Reference,
        credential: Option<Credential>,
    ) -> Result<Self, Error> {
        let host = match reference.registry.as_str() {
            // The name of Docker Hub is not the name of its registry.
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            host => host,
        };
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let scheme = if is_loopback(name) { "http" } else { "https" };
        let base = format!("{scheme}://{host}/v2/{}/", reference.repository);
        let base: Url = base
            .parse()
            .map_err(|error| unavailable(format!("{host} is no address of a registry: {error}")))?;
        let port = base.port_or_known_default().unwrap_or(443);
        let private = scheme == "http" || !host_is_public(name, port).await;
        let authorization = tokio::sync::Mutex::new(None);
        let reference = reference.clone();
        Ok(Self { registry, reference, base, credential, private, authorization })
    }

    /// GET of a path below the repository, with one answer to a challenge.
    pub(super) async fn get(&self, path: &str, headers: &HeaderMap) -> Result<Response, Failure> {
        let url = self.base.join(path).map_err(|error| unavailable(error.to_string()))?;
        let sent = self.authorization.lock().await.clone();
        let response = self.follow(url.clone(), headers, sent.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return self.checked(response);
        }
        let authorization = self.authorize(&response, sent).await?;
        let response = self.follow(url, headers, Some(&authorization)).await?;
        self.checked(response)
    }

    fn checked(&self, response: Response) -> Result<Response, Failure> {
        let status = response.status();
        if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(response);
        }
        let what = self.reference.to_string();
        Err(retry::status(status, response.headers(), &what, self.registry.clock.now()))
    }

    /// Sends, and follows redirects; only the registry itself gets the authorization.
    async fn follow(
        &self,
        mut url: Url,
        headers: &HeaderMap,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, Failure> {
        for _ in 0..=REDIRECTS_MAX {
            let client = self.client_for(&url)?;
            let mut request = client.get(url.clone()).headers(headers.clone());
            if let Some(value) = authorization.filter(|_| url.origin() == self.base.origin()) {
                request = request.header(AUTHORIZATION, value);
            }
            let response = request.send().await.map_err(|error| self.not_sent(&error))?;
            let location = response.headers().get(LOCATION);
            let Some(location) = location.filter(|_| response.status().is_redirection()) else {
                return Ok(response);
            };
            url = location
                .to_str()
                .ok()
                .and_then(|text| url.join(text).ok())
                .ok_or_else(|| unavailable("the registry redirects to no address"))?;
        }
        Err(Failure::last(unavailable("the registry redirects in a circle")))
    }

    /// The client that may be used for `url`, if any may.
    pub(super) fn client_for(&self, url: &Url) -> Result<reqwest::Client, Error> {
        let forbidden = |why: &str| {
            let message = format!(
                "the registry {} refers to {}, {why}",
                self.reference.registry,
                plain(&url.host_str().unwrap_or_default())
            );
            Error::new("IMAGE_PULL_DENIED", Kind::Denied, message)
                .hint("have the registry refer to addresses of the internet with TLS only")
        };
        let scheme = url.scheme();
        if scheme != "https" && (scheme != "http" || self.base.scheme() != "http") {
            return Err(forbidden("without TLS"));
        }
        let public = !self.private && url.origin() != self.base.origin();
        let host = url.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
        if public && (host.is_empty() || literal.is_ok_and(|address| !is_public(address))) {
            return Err(forbidden("which is not on the internet"));
        }
        self.registry.clients.get(scheme, public)
    }

    /// Answers the challenge of `response`, unless another request of this session did meanwhile.
    async fn authorize(
        &self,
        response: &Response,
        sent: Option<HeaderValue>,
    ) -> Result<HeaderValue, Failure> {
        // A token fetch is short and bounded, and the other requests need its result.
        let mut current = self.authorization.lock().await;
        if *current != sent
            && let Some(newer) = &*current
        {
            return Ok(newer.clone());
        }
        let mut challenges = response.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenge = challenges.find_map(|header| challenge::parse(header.to_str().ok()?));
        let text = match (challenge, &self.credential) {
            (_, Some(Credential::Token(token))) => format!("Bearer {token}"),
            (Some(Challenge::Bearer { realm, service, scope }), _) => {
                let scope = scope
                    .unwrap_or_else(|| format!("repository:{}:pull", self.reference.repository));
                let request = token::Request { realm, service, scope };
                format!("Bearer {}", token::fetch(self, &request).await?)
            }
            (Some(Challenge::Basic), Some(Credential::Password(name, password))) => {
                token::basic(name, password)
            }
            _ => {
                let now = self.registry.clock.now();
                let what = self.reference.to_string();
                return Err(retry::status(StatusCode::UNAUTHORIZED, &HeaderMap::new(), &what, now));
            }
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| unavailable("the registry gave out a token that cannot be sent"))?;
        value.set_sensitive(true);
        *current = Some(value.clone());
        Ok(value)
    }

    /// Why nothing came back.
    pub(super) fn not_sent(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let registry = &self.reference.registry;
        let cause = plain(&cause);
        Failure::again(unavailable(format!("the registry {registry} does not answer: {cause}")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_registry_of_the_internet_cannot_point_inside() {
        let clock = Arc::new(ebb_kit::ManualClock::default());
        let registry = Registry::new(super::super::Retries::default(), clock).unwrap();
        // TEST-NET-3 (RFC 5737): public by its form, and nobody's. Nothing is sent here.
        let reference: Reference = "203.0.113.9:5000/app:1".parse().unwrap();
        let session = Session::open(&registry, &reference, None).await.unwrap();
        assert_eq!(session.base.scheme(), "https");
        for url in [
            "https://127.0.0.1/x",
            "https://169.254.169.254/latest/meta-data",
            "https://10.0.0.1/",
            "https://100.64.0.7:8080/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://2130706433/",
            "http://203.0.113.9:5000/x",
            "http://example.com/",
            "file:///etc/passwd",
        ] {
            let error = session.client_for(&url.parse().unwrap()).err();
            assert_eq!(error.expect(url).code(), "IMAGE_PULL_DENIED");
        }
        assert!(session.client_for(&"https://203.0.113.10/".parse().unwrap()).is_ok());
        let hub = Session::open(&registry, &"app".parse().unwrap(), None).await.unwrap();
        assert_eq!(hub.base.as_str(), "https://registry-1.docker.io/v2/library/app/");
        let local: Reference = "127.0.0.1:5000/app".parse().unwrap();
        let local = Session::open(&registry, &local, None).await.unwrap();
        assert_eq!(local.base.scheme(), "http");
        assert!(local.client_for(&"http://127.0.0.2:1/".parse().unwrap()).is_ok());
    }
}
