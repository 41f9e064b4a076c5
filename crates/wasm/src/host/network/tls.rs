//! TLS, spoken by the host for its guests.

use std::sync::{Arc, OnceLock};

use capsule_backend::address::Host;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WantsClientCert};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::super::interface::bindings::capsule::guest::types::Failure;
use super::failure::{failure, from_io, gone};

/// How TLS is spoken. Reading the host's roots takes some milliseconds and blocks, so it
/// happens when it is first needed, once.
pub(super) async fn settings(verify: bool) -> Result<Arc<ClientConfig>, Failure> {
    static VERIFYING: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    static TRUSTING: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let (place, make): (_, fn() -> Result<ClientConfig, Error>) =
        if verify { (&VERIFYING, verifying) } else { (&TRUSTING, trusting) };
    if let Some(settings) = place.get() {
        return Ok(settings.clone());
    }
    let made = tokio::task::spawn_blocking(make).await.map_err(|_| gone())?;
    let made = made.map_err(|error| failure("Tls", error.to_string()))?;
    Ok(place.get_or_init(|| Arc::new(made)).clone())
}

/// Whom a certificate must be for.
pub(super) fn server_name(host: &Host) -> Result<ServerName<'static>, Failure> {
    match host {
        Host::Address(address) => Ok(ServerName::IpAddress((*address).into())),
        Host::Name(name) => ServerName::try_from(name.clone())
            .map_err(|_| failure("Tls", format!("{name} cannot be the name of a TLS server"))),
    }
}

/// A handshake that failed.
pub(super) fn handshake_failure(host: &Host, error: &std::io::Error) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(reason)) => {
            let message = format!("the certificate of {host} is not valid: {reason}");
            failure("Certificate", message)
        }
        Some(error) => failure("Tls", format!("TLS with {host} failed: {error}")),
        None if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            failure("Tls", format!("{host} ended the connection during the TLS handshake"))
        }
        None => from_io(error),
    }
}

fn verifying() -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    // A certificate that cannot be read is not trusted; the others are.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(finished(builder()?.with_root_certificates(roots)))
}

fn trusting() -> Result<ClientConfig, Error> {
    let verifier = Arc::new(TrustsAll(provider()));
    Ok(finished(builder()?.dangerous().with_custom_certificate_verifier(verifier)))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Error> {
    ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()
}

fn finished(builder: ConfigBuilder<ClientConfig, WantsClientCert>) -> ClientConfig {
    let mut settings = builder.with_no_client_auth();
    settings.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A ticket of one guest's would tell the server that another one is on the same host.
    settings.resumption = Resumption::disabled();
    settings
}

/// For a guest that says `verify=False`. It reaches allowed hosts only, as ever; who
/// stands between the host and them can then read along, which is the guest's choice.
#[derive(Debug)]
struct TrustsAll(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustsAll {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
