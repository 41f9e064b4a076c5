//! One attempt.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use capsule_backend::address::{Host, Reach, Resolver, own_addresses};
use capsule_spec::HostRule;
use ring::hmac;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Url;
use crate::store::WebhookRow;

/// How long an attempt may take, from the name to the status.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that are read of an answer.
const STATUS: usize = 64;

/// Sends webhooks.
pub(crate) struct Sender {
    allowed: Vec<HostRule>,
    /// Besides, every name and every address that is not inside.
    rules: Vec<HostRule>,
    resolver: OnceLock<Arc<Resolver>>,
    tls: OnceLock<Arc<ClientConfig>>,
}

impl Sender {
    pub(crate) fn new(allowed: Vec<HostRule>) -> Self {
        let any = "*".parse().expect("it is a rule");
        let rules = allowed.iter().cloned().chain([any]).collect();
        Self { allowed, rules, resolver: OnceLock::new(), tls: OnceLock::new() }
    }

    /// Whether an address could be sent to, as far as it can be told beforehand: what a name
    /// stands for is looked at each time.
    pub(crate) fn may(&self, url: &Url) -> bool {
        match &url.host {
            Host::Name(_) => true,
            Host::Address(address) => {
                self.open(&[*address], url.port).is_ok_and(|it| !it.is_empty())
            }
        }
    }

    fn open(&self, addresses: &[IpAddr], port: u16) -> io::Result<Vec<std::net::SocketAddr>> {
        let own = own_addresses()?;
        let admitted = Reach { rules: &self.rules, own: &own }.admit(addresses, port);
        Ok(admitted)
    }

    /// Whether it was taken. Why not is nothing to tell a stranger who asks in order to learn
    /// what there is behind this server.
    pub(super) async fn send(&self, row: &WebhookRow) -> bool {
        let Some(url) = Url::parse(&row.url) else { return false };
        let attempt = tokio::time::timeout(PATIENCE, self.attempt(&url, row));
        matches!(attempt.await, Ok(Ok(200..=299)))
    }

    async fn attempt(&self, url: &Url, row: &WebhookRow) -> io::Result<u16> {
        let request = request(url, row);
        let stream = self.connect(url).await?;
        if !url.is_secure {
            return exchange(stream, &request).await;
        }
        let name = match &url.host {
            Host::Address(address) => ServerName::IpAddress((*address).into()),
            Host::Name(name) => ServerName::try_from(name.clone()).map_err(io::Error::other)?,
        };
        let connector = TlsConnector::from(self.tls()?);
        exchange(connector.connect(name, stream).await?, &request).await
    }

    async fn connect(&self, url: &Url) -> io::Result<TcpStream> {
        let found = match &url.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                let resolver = match self.resolver.get() {
                    Some(resolver) => resolver,
                    None => {
                        let made = Arc::new(Resolver::new(&own_addresses()?));
                        self.resolver.get_or_init(|| made)
                    }
                };
                let (resolver, name) = (Arc::clone(resolver), name.clone());
                let work = move || resolver.resolve(&name);
                tokio::task::spawn_blocking(work).await.map_err(io::Error::other)??
            }
        };
        let mut last = io::Error::from(io::ErrorKind::PermissionDenied);
        for address in self.open(&found, url.port)? {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn tls(&self) -> io::Result<Arc<ClientConfig>> {
        if let Some(config) = self.tls.get() {
            return Ok(Arc::clone(config));
        }
        let mut roots = RootCertStore::empty();
        // A certificate that cannot be read is not trusted; the others are.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::clone(self.tls.get_or_init(|| Arc::new(config))))
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Sender").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

fn request(url: &Url, row: &WebhookRow) -> Vec<u8> {
    let body = row.body.as_str();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let signed = row.secret.as_ref().map_or_else(String::new, |secret| {
        format!("X-Capsule-Signature: t={now},v1={}\r\n", signature(secret, now, body))
    });
    let (target, host, version) = (&url.target, url.authority(), env!("CARGO_PKG_VERSION"));
    let (number, length) = (row.number, body.len());
    format!(
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: capsule/{version}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\
         X-Capsule-Delivery: {number}\r\n{signed}\r\n{body}"
    )
    .into_bytes()
}

/// `HMAC-SHA256(secret, time + "." + body)` as hexadecimal digits.
fn signature(secret: &str, time: u64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{time}.{body}").as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sends a request and reads the status of the answer.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    request: &[u8],
) -> io::Result<u16> {
    stream.write_all(request).await?;
    stream.flush().await?;
    let mut head = Vec::with_capacity(STATUS);
    while head.len() < STATUS && !head.contains(&b'\n') {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    let status = head.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5));
    let status = status.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    status.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2, whose text happens to hold no point: so over our own join.
    #[test]
    fn the_signature_is_the_usual_one() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
        let tag = hmac::sign(&key, b"what do ya want for nothing?");
        assert_eq!(&tag.as_ref()[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        let ours = signature("Jefe", 7, "body");
        let expected = hmac::sign(&key, b"7.body");
        let expected: String = expected.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(ours, expected);
    }

    #[test]
    fn what_is_inside_has_to_be_spelled_out() {
        let may = |sender: &Sender, url: &str| sender.may(&Url::parse(url).unwrap());
        let closed = Sender::new(Vec::new());
        let own = Sender::new(vec!["127.0.0.1:81".parse().unwrap()]);
        for inside in [
            "http://127.0.0.1:81/",
            "http://[::1]/",
            "http://10.0.0.1/",
            "http://192.168.1.1/",
            "http://169.254.169.254/latest/meta-data",
            "http://[::ffff:127.0.0.1]/",
            "http://0.0.0.0/",
            "http://[fd00::1]/",
            "http://100.64.0.1/",
        ] {
            assert!(!may(&closed, inside), "{inside}");
            assert_eq!(may(&own, inside), inside == "http://127.0.0.1:81/", "{inside}");
        }
        assert!(may(&closed, "https://203.0.113.1/"));
        assert!(may(&closed, "https://a.example/"), "names are looked at when they are used");
    }
}
