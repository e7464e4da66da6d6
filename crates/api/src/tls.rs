//! The platform's own certificate authority and the server certificate that it signs.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ebb_kit::Clock;
use ebb_model::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::{Error, private};

const CERTIFICATE_FILE: &str = "ca.pem";
const KEY_FILE: &str = "ca.key";
/// How long a server certificate is good for. It lives in memory only and is made again at every
/// start, so a short life costs nothing.
const SERVER_DAYS: i64 = 90;
/// A server certificate older than this is replaced at the next handshake.
const RENEW_AFTER: Duration = Duration::from_hours(60 * 24);

/// The platform's certificate authority: a certificate that clients trust, and its key.
pub struct Authority {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Loads the authority from `dir`, or makes one at the first start. The key is in a file of
    /// mode 0600. The certificate does not expire (RFC 5280 4.1.2.5: 9999-12-31): it is trusted
    /// only where somebody copied it.
    ///
    /// # Errors
    /// `API_FILE_UNUSABLE`; `API_AUTHORITY_INVALID` when the files do not fit together.
    pub fn load_or_create(dir: &Path) -> Result<Self, Error> {
        private::make_dir(dir)?;
        let (certificate, key) = (dir.join(CERTIFICATE_FILE), dir.join(KEY_FILE));
        // The certificate is written last: with it there, the key is there too.
        let (certificate_pem, key_pem) = match (private::read(&certificate)?, private::read(&key)?)
        {
            (Some(certificate_pem), Some(key_pem)) => (certificate_pem, key_pem),
            (Some(_), None) => {
                return Err(Error::Authority(format!(
                    "{} is missing beside {}; remove both to start with a new authority",
                    key.display(),
                    certificate.display()
                )));
            }
            (None, _) => {
                let (certificate_pem, key_pem) = create()?;
                private::write(&key, &key_pem)?;
                private::write(&certificate, &certificate_pem)?;
                (certificate_pem, key_pem)
            }
        };
        let key = KeyPair::from_pem(&key_pem).map_err(invalid)?;
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key).map_err(invalid)?;
        Ok(Self { certificate_pem, issuer })
    }

    /// The certificate in PEM, for a client's list of trusted authorities.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A new server certificate for `names` (host names and addresses), with its key.
    ///
    /// # Errors
    /// `INVALID_NAME` for a name that cannot stand in a certificate.
    pub fn issue(&self, names: &[String], now: Timestamp) -> Result<CertifiedKey, Error> {
        let mut params = CertificateParams::default();
        for name in names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => rcgen::SanType::IpAddress(address),
                Err(_) => rcgen::SanType::DnsName(
                    name.as_str().try_into().map_err(|_| Error::Name(name.clone()))?,
                ),
            });
        }
        params.distinguished_name.push(DnType::CommonName, "ebb");
        let (year, month, day) = date(now, -1)?;
        params.not_before = date_time_ymd(year, month, day);
        let (year, month, day) = date(now, SERVER_DAYS)?;
        params.not_after = date_time_ymd(year, month, day);
        params.serial_number = Some(SerialNumber::from_slice(&rand::random::<[u8; 16]>()));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(invalid)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(invalid)?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signing = ring::sign::any_supported_type(&der).map_err(invalid)?;
        Ok(CertifiedKey::new(vec![certificate.der().clone()], signing))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive() // the key is not for logs
    }
}

fn create() -> Result<(String, String), Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "ebb certificate authority");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(9999, 12, 31);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().map_err(invalid)?;
    let certificate = params.self_signed(&key).map_err(invalid)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn invalid(error: impl fmt::Display) -> Error {
    Error::Authority(error.to_string())
}

/// Year, month and day (UTC) of the day `days` after `now`.
fn date(now: Timestamp, days: i64) -> Result<(i32, u8, u8), Error> {
    use jiff::ToSpan as _;
    let day = now.to_jiff().to_zoned(jiff::tz::TimeZone::UTC).date();
    let day = day.checked_add(days.days()).map_err(invalid)?;
    let month = u8::try_from(day.month()).map_err(invalid)?;
    Ok((i32::from(day.year()), month, u8::try_from(day.day()).map_err(invalid)?))
}

/// Hands out the server certificate, and makes a new one when it nears its end.
pub(crate) struct Renewing {
    authority: Authority,
    names: Vec<String>,
    clock: Arc<dyn Clock>,
    current: Mutex<(Arc<CertifiedKey>, Timestamp)>,
}

impl Renewing {
    pub(crate) fn new(
        authority: Authority,
        names: Vec<String>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let now = clock.now();
        let first = Arc::new(authority.issue(&names, now)?);
        Ok(Self { authority, names, clock, current: Mutex::new((first, now)) })
    }

    fn certificate(&self) -> Arc<CertifiedKey> {
        let now = self.clock.now();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(current.1) > RENEW_AFTER {
            match self.authority.issue(&self.names, now) {
                Ok(next) => *current = (Arc::new(next), now),
                Err(error) => tracing::error!(%error, "the server certificate is not renewed"),
            }
        }
        Arc::clone(&current.0)
    }
}

impl fmt::Debug for Renewing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewing").field("names", &self.names).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Renewing {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certificate())
    }
}

/// The names that a server certificate is good for: loopback, the host's own and `more`.
pub(crate) fn names(more: &[String]) -> Vec<String> {
    let mut names: Vec<String> = ["127.0.0.1", "::1", "localhost"].map(str::to_owned).to_vec();
    // The kernel's view of the host name, without a call into libc.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let is_dns = !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    if is_dns {
        names.push(host.to_owned());
    }
    names.extend(more.iter().cloned());
    names.dedup();
    names
}

/// TLS as the door speaks it: versions 1.2 and 1.3, HTTP/1.1, no client certificates.
pub(crate) fn server_config(resolver: Renewing) -> Result<rustls::ServerConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(invalid)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use ebb_kit::ManualClock;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    #[test]
    fn the_authority_is_made_once_and_its_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = Authority::load_or_create(dir.path()).unwrap();
        let again = Authority::load_or_create(dir.path()).unwrap();
        assert_eq!(first.certificate_pem(), again.certificate_pem());
        let mode = std::fs::metadata(dir.path().join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_file(dir.path().join(KEY_FILE)).unwrap();
        let error = Authority::load_or_create(dir.path()).unwrap_err();
        assert_eq!(error.code(), "API_AUTHORITY_INVALID");
    }

    #[test]
    fn a_certificate_near_its_end_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(dir.path()).unwrap();
        let clock = Arc::new(ManualClock::new(NOW));
        let renewing = Renewing::new(authority, names(&[]), clock.clone()).unwrap();
        let first = renewing.certificate();
        clock.advance(Duration::from_hours(59 * 24));
        assert!(Arc::ptr_eq(&first, &renewing.certificate()));
        clock.advance(Duration::from_hours(2 * 24));
        assert!(!Arc::ptr_eq(&first, &renewing.certificate()));
    }

    #[test]
    fn a_name_that_cannot_stand_in_a_certificate_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(dir.path()).unwrap();
        let error = authority.issue(&["häuschen".to_owned()], NOW).unwrap_err();
        assert_eq!(error.code(), "INVALID_NAME");
    }
}
