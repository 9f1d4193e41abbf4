//! TLS with one server that is known by its certificate itself: whoever shows it must hold its key; names, dates and authorities do not
//! matter. For asking a server on its own address, which its certificate does not name.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::http::PROTOCOL;
use crate::small_file;

/// A certificate, and nobody else's.
#[derive(Debug)]
pub struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

/// A certificate chain has a few thousand bytes.
const BYTES: u64 = 1 << 20;

impl Pinned {
    /// The first certificate in a file of PEM, as `assay serve --tls-cert` shows it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = small_file::read(path, BYTES)?;
        let certificate =
            CertificateDer::from_pem_slice(&bytes).map_err(|_| "it holds no certificate in PEM, or a damaged one".to_owned())?;
        Ok(Self { certificate, provider: Arc::new(default_provider()) })
    }

    /// What speaks with its server.
    pub fn client(self) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(self.provider.clone());
        let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).expect("the provider knows both versions");
        let mut client = builder.dangerous().with_custom_certificate_verifier(Arc::new(self)).with_no_client_auth();
        client.alpn_protocols = vec![PROTOCOL.to_vec()];
        client
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _stapled: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let is_it = end_entity.as_ref() == self.certificate.as_ref();
        if is_it { Ok(ServerCertVerified::assertion()) } else { Err(CertificateError::ApplicationVerificationFailure.into()) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
