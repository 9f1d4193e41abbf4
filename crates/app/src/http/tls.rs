//! TLS for every connection: a certificate and its key, taken anew when their files change.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus::{IntCounterVec, Opts, Registry};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};

use super::metrics::registered;
use crate::small_file;
use crate::watch::{Content, watch};

/// The one protocol that is spoken over TLS.
pub const PROTOCOL: &[u8] = b"http/1.1";

/// A certificate chain and a key; far more is neither.
const BYTES: u64 = 1 << 20;

/// Why there can be no TLS.
#[derive(Debug, Error)]
#[error("cannot serve TLS with --tls-cert {certificate} and --tls-key {key}: {problem}")]
pub struct TlsError {
    certificate: String,
    key: String,
    problem: String,
}

/// What TLS begins with.
pub struct TlsFiles {
    paths: [PathBuf; 2],
    contents: [Vec<u8>; 2],
    config: Arc<ServerConfig>,
}

/// What new connections are encrypted with; those that are open keep what they began with.
pub struct Tls(ArcSwap<ServerConfig>);

impl TlsFiles {
    /// Reads and checks both files.
    pub fn open(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let paths = [certificate, key];
        let refused = |problem| {
            let [certificate, key] = paths.each_ref().map(|path| path.display().to_string());
            TlsError { certificate, key, problem }
        };
        let [certificate, key] = paths.each_ref().map(|path| read(path));
        let contents = [certificate.map_err(refused)?, key.map_err(refused)?];
        let config = config(&contents[0], &contents[1]).map_err(refused)?;
        Ok(Self { paths, contents, config })
    }
}

impl Tls {
    /// Begins with `files`, follows them, and counts in `registry` how that went.
    pub fn start(files: TlsFiles, registry: &Registry) -> io::Result<Arc<Self>> {
        let tls = Arc::new(Self(ArcSwap::new(files.config)));
        let results =
            IntCounterVec::new(Opts::new("assay_tls_reads_total", "Changes of the certificate's files, by result."), &["result"]);
        let results = registered(registry, results);
        let [taken, refused] = ["taken", "refused"].map(|result| results.with_label_values(&[result]));
        let follower = tls.clone();
        let changed = move |contents: &[Content; 2]| match renewed(contents) {
            Ok(config) => {
                follower.0.store(config);
                taken.inc();
                tracing::info!("the certificate and its key were read again; new connections use them");
            }
            Err(problem) => {
                refused.inc();
                tracing::error!("the certificate that was there last stays in use, as the new one cannot be taken: {problem}");
            }
        };
        watch("tls", files.paths, read, files.contents.map(Ok), changed)?;
        Ok(tls)
    }

    /// What encrypts the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.0.load_full().into()
    }
}

fn read(path: &std::path::Path) -> Content {
    small_file::read(path, BYTES).map_err(|problem| format!("{}: {problem}", path.display()))
}

fn renewed([certificate, key]: &[Content; 2]) -> Result<Arc<ServerConfig>, String> {
    config(certificate.as_ref().map_err(Clone::clone)?, key.as_ref().map_err(Clone::clone)?)
}

/// TLS 1.2 and 1.3 with this certificate chain and key, both PEM. Nothing of the key is in the sentence that says what is wrong.
fn config(certificate: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or("the first holds no certificate in PEM, or a damaged one")?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| "the second holds no private key in PEM, or a damaged one, or one under a passphrase, which must go")?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(|error| format!("they do not work together ({error})"))?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_or_no_key_is_told_apart() {
        assert!(config(b"", b"").unwrap_err().contains("holds no certificate"));
        assert!(config(b"-----BEGIN CERTIFICATE-----\nAAAA\n", b"").unwrap_err().contains("holds no certificate"));
        let chain = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(config(chain, b"").unwrap_err().contains("holds no private key"));
    }
}
